import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import { parse } from 'jsonc-parser';
import { isProgramName } from '../files/find-program';
import { readRegularFile } from '../files/regular-file';
import { asRecord, type InferredProject, type Json, type TargetKind } from './inferred-image';
import { fileInputs, toSlashes, type TrackedInputs } from './tracked-inputs';

type Target = Partial<TargetConfiguration>;

/** The name of this plugin's options in messages. */
export const PLUGIN_OPTIONS = 'the options of the plugin nx-igvm in nx.json';

/** What one file of the user states about an inferred target. */
export interface Saying {
  /** The name of the place in messages. */
  readonly from: string;
  readonly says: Target;
  /** False for a statement that may not apply. Only Nx knows which projects match a filter or an unusual pattern. */
  readonly certain: boolean;
}

/** The user's configuration of an inferred target: in the plugin's options, nx.json, package.json and project.json. */
export interface OwnTarget {
  /** In the order in which Nx merges them: the last has the highest precedence. */
  readonly sayings: readonly Saying[];
  /** The value of an option without any configuration, if it is a text. */
  always(name: string): string | undefined;
  /** The value of an option when no configuration is named: the default configuration applies. */
  option(name: string): string | undefined;
  /** All values that an option can have, with each of the target's configurations and without one. @param inferred the value unless the user gives one */
  values(name: string, inferred?: string): string[];
}

/** The parts of a folder's project.json and package.json that concern inferred targets. */
export interface ProjectFiles {
  /** The project's name, if one of the files exists. If it has no name, Nx uses the folder's in lower case. */
  readonly name: string | undefined;
  /** Their statements about a target; the last has the highest precedence. */
  sayingsOf(target: string): Saying[];
  /** The named inputs that they define. */
  readonly namedInputs: Json;
  /** Whether a script in package.json replaces a target of this name. */
  hasScript(target: string): boolean;
}

/** Bytes. Nx reads these files too, and follows links. We must read the same content. */
const NX_FILE_LIMIT = 2 ** 24;

function read(path: string): Json {
  try {
    // As in Nx, comments are allowed. Nx reports mistakes.
    return asRecord(parse(readRegularFile(path, { limit: NX_FILE_LIMIT }).toString()));
  } catch {
    return {};
  }
}

/** @param folder absolute path @param shown the folder's name in messages, with a `/` at the end */
export function readProjectFiles(folder: string, shown = ''): ProjectFiles {
  const paths = [join(folder, 'package.json'), join(folder, 'project.json')] as const;
  const [manifest, project] = [read(paths[0]), read(paths[1])];
  const block = asRecord(manifest['nx']);
  const sources = [
    { from: `${shown}package.json (nx.targets)`, targets: asRecord(block['targets']) },
    { from: `${shown}project.json`, targets: asRecord(project['targets']) },
  ];
  const names = [project['name'], block['name'], manifest['name']].filter((name) => typeof name === 'string');
  const included = block['includedScripts'];
  return {
    name: paths.some((path) => existsSync(path)) ? (names[0] ?? basename(folder).toLowerCase()) : undefined,
    sayingsOf: (target) =>
      sources.flatMap(({ from, targets }) =>
        Object.hasOwn(targets, target) ? [{ from, says: asRecord(targets[target]) as Target, certain: true }] : [],
      ),
    namedInputs: { ...asRecord(block['namedInputs']), ...asRecord(project['namedInputs']) },
    hasScript: (target) =>
      typeof asRecord(manifest['scripts'])[target] === 'string' &&
      (!Array.isArray(included) || included.includes(target)),
  };
}

type Verdict = 'yes' | 'no' | 'maybe';

/** Whether Nx treats a key as a pattern (see its utils/globs). */
const isPattern = (key: string): boolean => /[*|{}()[]/.test(key);

/** Whether a pattern matches a target. Nx uses minimatch's patterns. Only `*`, `?` and plain `{a,b}` are evaluated here. */
export function patternMatches(pattern: string, name: string): Verdict {
  if (/[()[\]\\!#]|\{[^{}]*\{|\.\./.test(pattern)) return 'maybe';
  const source = pattern
    .replace(/[.+^$|]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]')
    .replace(/\{([^{}]*,[^{}]*)\}/g, (_, items: string) => `(?:${items.replaceAll(',', '|')})`);
  return /[{}]/.test(source) ? 'maybe' : new RegExp(`^${source}$`).test(name) ? 'yes' : 'no';
}

/** Whether an entry with this filter applies to a target. */
function filterMatches(filter: Json, executor: string): Verdict {
  if (filter['executor'] !== undefined && filter['executor'] !== executor) return 'no';
  return filter['projects'] === undefined && filter['plugin'] === undefined ? 'yes' : 'maybe';
}

/** The keys that match a target: the executor, the name, then patterns, the longest first. The first with a matching entry counts. */
function matchingKeys(defaults: Json, executor: string, name: string): [key: string, verdict: Verdict][] {
  const exact = [...new Set([executor, name])].filter((key) => defaults[key] !== undefined);
  const patterns = Object.keys(defaults)
    .filter((key) => key !== executor && key !== name && isPattern(key))
    .sort((a, b) => b.length - a.length)
    .map((key): [string, Verdict] => [key, patternMatches(key, name)]);
  return [
    ...exact.map((key): [string, Verdict] => [key, 'yes']),
    ...patterns.filter(([, verdict]) => verdict !== 'no'),
  ];
}

/**
 * The statements about a target in `targetDefaults` of nx.json; the last has the highest precedence. They are read as in Nx 24
 * (project-graph/utils/project-configuration/target-defaults): a value is an object, or a list whose matching entries are all merged.
 * @param name of the target
 */
function targetDefaults({ targetDefaults: raw }: NxJsonConfiguration, executor: string, name: string): Saying[] {
  const defaults = asRecord(raw);
  const sayings: Saying[] = [];
  for (const [key, keyVerdict] of matchingKeys(defaults, executor, name)) {
    const value = defaults[key];
    const entries = (Array.isArray(value) ? value : [value]).map(asRecord).flatMap((entry) => {
      const verdict = filterMatches(asRecord(entry['filter']), executor);
      return verdict === 'no' ? [] : [{ entry, certain: verdict === 'yes' && keyVerdict === 'yes' }];
    });
    // Nx drops an entry for another executor, but the key counts as matched.
    const fitting = entries.filter(({ entry }) => entry['executor'] === undefined || entry['executor'] === executor);
    // Keys that come later have lower precedence.
    const from = `nx.json (targetDefaults["${key}"])`;
    sayings.unshift(...fitting.map(({ entry, certain }) => ({ from, says: entry as Target, certain })));
    if (entries.some(({ certain }) => certain)) break;
  }
  return sayings;
}

const texts = (value: unknown): string[] => (typeof value === 'string' ? [value] : []);
const optionsOf = (source: Target, key: string): string[] => texts(asRecord(source.options)[key]);
const configuredOf = ({ configurations }: Target, key: string, wanted?: string): string[] =>
  Object.entries(asRecord(configurations)).flatMap(([name, configuration]) =>
    wanted === undefined || wanted === name ? texts(asRecord(configuration)[key]) : [],
  );

/** @param sayings the last has the highest precedence */
export function ownTargetOf(sayings: readonly Saying[]): OwnTarget {
  const certain = sayings.filter((saying) => saying.certain).map(({ says }) => says);
  const uncertain = sayings.filter((saying) => !saying.certain).map(({ says }) => says);
  const always = (key: string) => certain.flatMap((source) => optionsOf(source, key)).at(-1);
  const configuration = certain.flatMap(({ defaultConfiguration }) => texts(defaultConfiguration)).at(-1);
  return {
    sayings,
    always,
    option: (key) =>
      configuration === undefined
        ? always(key)
        : (certain.flatMap((source) => configuredOf(source, key, configuration)).at(-1) ?? always(key)),
    values: (key, inferred) => [
      ...new Set([
        ...texts(always(key) ?? inferred),
        ...uncertain.flatMap((source) => optionsOf(source, key)),
        ...sayings.flatMap(({ says }) => configuredOf(says, key)),
      ]),
    ],
  };
}

/** @param kind undefined for a target that has no entry in the plugin's options */
export function ownTarget(
  kind: TargetKind | undefined,
  executor: string,
  name: string,
  project: InferredProject,
): OwnTarget {
  const files = project.files.sayingsOf(name);
  const isOurs = files.every(({ says }) => says.executor === undefined || says.executor === executor);
  return ownTargetOf([
    { from: PLUGIN_OPTIONS, says: kind === undefined ? {} : asRecord(project.options[kind]), certain: true },
    ...targetDefaults(project.nxJson, executor, name),
    ...(isOurs ? files : []),
  ]);
}

/** The values of the tokens in a target's options. */
export interface TokenProject {
  /** The project's name. */
  readonly name: string;
  /** Its folder, relative to the workspace. */
  readonly root: string;
}

/** An option's text with Nx's tokens replaced, as Nx does before it runs a target. */
export const replaceTokens = (value: string, { name, root }: TokenProject): string =>
  value
    .replace(/^\{workspaceRoot\}\//, '')
    .replaceAll('{projectRoot}', root)
    .replaceAll('{projectName}', name);

/** An option's path with its tokens replaced: relative to the workspace or absolute, with `/`. */
export const optionPath = (value: string, project: TokenProject): string => toSlashes(replaceTokens(value, project));

/** Inputs for a file that an option names. */
export function optionFile(value: string, project: InferredProject): TrackedInputs {
  const path = optionPath(value, project);
  return fileInputs(project, resolve(project.workspaceRoot, path), path);
}

/** Inputs for a program that an option names. PATH is searched when the hash is computed. */
export function optionProgram(value: string, project: InferredProject): TrackedInputs {
  const file = optionFile(value, project);
  return isProgramName(value) ? { ...file, requests: [...file.requests, { program: value }] } : file;
}
