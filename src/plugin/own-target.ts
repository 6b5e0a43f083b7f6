import type { TargetConfiguration } from '@nx/devkit';
import type { InferredProject } from './inferred-image';
import type { TargetKind } from './plugin-options';
import { asRecord } from './read-json';

/** What the user says of an inferred target: in the plugin's options, nx.json, package.json and project.json. */
export interface OwnTarget {
  /** An option without a configuration, when it is given as text. */
  option(name: string): string | undefined;
  /** All values that an option can have, with each of the target's configurations and without. */
  values(name: string): string[];
}

export function ownTarget(kind: TargetKind, executor: string, name: string, project: InferredProject): OwnTarget {
  const fromPlugin = project.options[kind];
  const defaults = asRecord(project.nxJson.targetDefaults);
  const own = project.files.targetOf(name);
  // The strongest last, as Nx merges them.
  const sources: Partial<TargetConfiguration>[] = [
    asRecord(fromPlugin),
    asRecord(defaults[executor] ?? defaults[name]),
    own.executor === undefined || own.executor === executor ? own : {},
  ];
  const text = (value: unknown) => (typeof value === 'string' ? [value] : []);
  const option = (key: string) => sources.flatMap(({ options }) => text(asRecord(options)[key])).at(-1);
  return {
    option,
    values: (key) => {
      const configured = sources.flatMap(({ configurations }) =>
        Object.values(asRecord(configurations)).flatMap((configuration) => text(asRecord(configuration)[key])),
      );
      const always = option(key);
      return [...new Set([...(always === undefined ? [] : [always]), ...configured])];
    },
  };
}

/** A path in an option, relative to the workspace or absolute. */
export const optionPath = (value: string, { root }: InferredProject): string =>
  value.replace(/^\{workspaceRoot\}\//, '').replaceAll('{projectRoot}', root);
