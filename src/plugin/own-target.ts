import { resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import type { InferredProject } from './inferred-image';
import { replaceTokens } from './option-tokens';
import { toSlashes } from './package';
import type { TargetKind } from './plugin-options';
import { asRecord } from './read-json';
import { fileInputs, type TrackedInputs } from './resource-inputs';
import { targetDefaults } from './target-defaults';

type Source = Partial<TargetConfiguration>;

/** What the user says of an inferred target: in the plugin's options, nx.json, package.json and project.json. */
export interface OwnTarget {
  /** An option that no configuration changes, when it is given as text. */
  always(name: string): string | undefined;
  /** An option as it is when no configuration is named: with the default one. */
  option(name: string): string | undefined;
  /** All values that an option can have, with each of the target's configurations and without. @param inferred its value unless the user gives one */
  values(name: string, inferred?: string): string[];
}

const texts = (value: unknown): string[] => (typeof value === 'string' ? [value] : []);
const optionsOf = (source: Source, key: string): string[] => texts(asRecord(source.options)[key]);
const configuredOf = ({ configurations }: Source, key: string, wanted?: string): string[] =>
  Object.entries(asRecord(configurations)).flatMap(([name, configuration]) =>
    wanted === undefined || wanted === name ? texts(asRecord(configuration)[key]) : [],
  );

export function ownTarget(kind: TargetKind, executor: string, name: string, project: InferredProject): OwnTarget {
  const own = project.files.targetOf(name);
  const defaults = targetDefaults(project.nxJson, executor, name);
  // The strongest last, as Nx merges them.
  const around = (between: Source[]): Source[] => [
    asRecord(project.options[kind]),
    ...between,
    own.executor === undefined || own.executor === executor ? own : {},
  ];
  const [certain, possible] = [around(defaults.certain), around(defaults.possible)];
  const always = (key: string) => certain.flatMap((source) => optionsOf(source, key)).at(-1);
  const configuration = certain.flatMap(({ defaultConfiguration }) => texts(defaultConfiguration)).at(-1);
  return {
    always,
    option: (key) =>
      configuration === undefined
        ? always(key)
        : (certain.flatMap((source) => configuredOf(source, key, configuration)).at(-1) ?? always(key)),
    values: (key, inferred) => {
      const base = always(key) ?? inferred;
      const uncertain = defaults.possible.filter((source) => !defaults.certain.includes(source));
      return [
        ...new Set([
          ...texts(base),
          ...uncertain.flatMap((source) => optionsOf(source, key)),
          ...possible.flatMap((source) => configuredOf(source, key)),
        ]),
      ];
    },
  };
}

/** A path in an option with its tokens replaced: relative to the workspace or absolute, with `/`. */
export const optionPath = (value: string, project: InferredProject): string => toSlashes(replaceTokens(value, project));

/** A file that an option names. */
export function optionFile(value: string, project: InferredProject): TrackedInputs {
  const { workspaceRoot } = project;
  const path = optionPath(value, project);
  return fileInputs(workspaceRoot, resolve(workspaceRoot, path), path);
}
