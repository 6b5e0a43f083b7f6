import type { TargetConfiguration } from 'nx/src/devkit-exports';
import type { TargetOption } from './plugin-options';

const LISTS = ['inputs', 'outputs', 'dependsOn'] as const;
const RECORDS = ['options', 'configurations', 'metadata'] as const;

/** A list of the user's, in which `"..."` stands for the inferred one. */
function spread(inferred: readonly unknown[] | undefined, own: readonly unknown[]): unknown[] {
  return own.flatMap((item) => (item === '...' ? (inferred ?? []) : [item]));
}

/** An inferred target with the user's changes: objects are merged key by key, lists replaced, anything else replaced. */
export function mergeTarget(inferred: TargetConfiguration, option: TargetOption | undefined): TargetConfiguration {
  if (typeof option !== 'object') return inferred;
  const { name: _, ...own } = option;
  const merged: Record<string, unknown> = { ...inferred, ...own };
  for (const key of LISTS) {
    if (Array.isArray(own[key])) merged[key] = spread(inferred[key], own[key]);
  }
  for (const key of RECORDS) {
    if (own[key] !== undefined) merged[key] = { ...inferred[key], ...own[key] };
  }
  return merged as TargetConfiguration;
}
