import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { nearest } from '../manifest/nearest';
import { asRecord } from './read-json';

/**
 * What the options say of one kind of target: another name; `false` for none; or an object that extends it, where
 * `"..."` in a list stands for what is inferred.
 */
export type TargetOption = string | false | ({ name?: string } & Partial<TargetConfiguration>);

/**
 * The kinds of inferred targets, which are also their names unless the options say otherwise. (`initrd` is called `build`
 * in a project without an image.)
 */
export const TARGET_KINDS = ['build', 'inspect', 'measure', 'verify', 'sign', 'boot', 'boot-test', 'initrd'] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

/** Options of the plugin in nx.json. */
export type PluginOptions = Partial<Record<TargetKind, TargetOption>> & {
  /**
   * Targets that a resource may name although Nx doesn't cache them: `project:target`, or `target` of any project. A manifest
   * doesn't look like code, and a target that it names runs.
   */
  resourceTargets?: string[];
};

/** The key of the option that is no kind of target. */
const RESOURCE_TARGETS = 'resourceTargets';

const isOption = (value: unknown): value is TargetOption =>
  typeof value === 'string' ||
  value === false ||
  (typeof value === 'object' && value !== null && !Array.isArray(value));

/**
 * The options as nx.json has them, which nobody has checked: what says nothing of a kind of target is left out, and the user told.
 * An error would fail every command.
 * @param warn is called with each mistake
 */
export function readPluginOptions(given: unknown, warn: (message: string) => void): PluginOptions {
  const options: PluginOptions = {};
  for (const [key, value] of Object.entries(asRecord(given))) {
    const kind = TARGET_KINDS.find((each) => each === key);
    if (key === RESOURCE_TARGETS) {
      if (Array.isArray(value) && value.every((each) => typeof each === 'string')) options.resourceTargets = value;
      else warn(`the option "${key}" of the plugin nx-igvm takes a list of targets, not ${JSON.stringify(value)}`);
    } else if (kind === undefined) {
      // Plugins of Nx call theirs `buildTargetName`.
      const guess = nearest(key.replace(/Target(?:Name)?$/, ''), [...TARGET_KINDS, RESOURCE_TARGETS]);
      warn(`the plugin nx-igvm has no option "${key}"${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
    } else if (isOption(value)) {
      options[kind] = value;
    } else {
      warn(`the option "${key}" of the plugin nx-igvm takes a name, false or an object, not ${JSON.stringify(value)}`);
    }
  }
  return options;
}

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
