import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import { parse } from 'jsonc-parser';
import { isProgramName } from '../files/find-program';
import { readRegularFile } from '../files/regular-file';
import { asRecord, type Json } from '../manifest/image-files';
import { nearest } from '../manifest/unknown-keys';
import type { InferredProject } from './inferred-image';
import { fileInputs, toSlashes, type TrackedInputs } from './tracked-inputs';

/**
 * The option for one kind of target: another name, `false` for no such target, or an object that extends it. In its lists,
 * `"..."` stands for the inferred values.
 */
export type TargetOption = string | false | ({ name?: string } & Partial<TargetConfiguration>);

/**
 * The kinds of inferred targets. These are also their names, unless the options change them. (In a project without an image,
 * `initrd` is called `build`.)
 */
export const TARGET_KINDS = [
  'build',
  'fetch',
  'inspect',
  'measure',
  'verify',
  'sign',
  'boot',
  'boot-test',
  'initrd',
] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

/** Options of the plugin in nx.json. */
export type PluginOptions = Partial<Record<TargetKind, TargetOption>> & {
  /**
   * Targets that a resource may name although Nx doesn't cache them: `project:target`, or `target` for every project. They need this
   * permission because a manifest doesn't look like code, but the targets that it names run.
   */
  resourceTargets?: string[];
};

/** The only option that is not a kind of target. */
const RESOURCE_TARGETS = 'resourceTargets';

const isOption = (value: unknown): value is TargetOption =>
  typeof value === 'string' ||
  value === false ||
  (typeof value === 'object' && value !== null && !Array.isArray(value));

const LISTS = ['inputs', 'outputs', 'dependsOn'] as const;
const RECORDS = ['options', 'configurations', 'metadata'] as const;

/** The other keys of a target that Nx knows (nx-schema.json), and our own `name`. */
const OTHER_TARGET_KEYS = [
  'name',
  'executor',
  'command',
  'defaultConfiguration',
  'cache',
  'continuous',
  'parallelism',
  'syncGenerators',
];

/** The extension of a target without values that Nx can't use. Warns about those and about unknown keys. */
function checkedExtension(
  kind: string,
  given: Exclude<TargetOption, string | false>,
  warn: (message: string) => void,
): TargetOption {
  const lists: readonly string[] = LISTS;
  const records: readonly string[] = RECORDS;
  const known = [...lists, ...records, ...OTHER_TARGET_KEYS];
  const isRecord = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
  const fits = ([key, value]: [string, unknown]): boolean => {
    const what = `"${key}" in the option "${kind}" of the plugin nx-igvm`;
    if (!known.includes(key)) {
      const guess = nearest(key, known);
      warn(`${what} is not a key of a target${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
      return true;
    }
    const wanted = lists.includes(key) ? 'a list' : records.includes(key) ? 'an object' : undefined;
    if (wanted === undefined || (wanted === 'a list' ? Array.isArray(value) : isRecord(value))) return true;
    warn(`${what} takes ${wanted}, not ${JSON.stringify(value)}, and is left out`);
    return false;
  };
  return Object.fromEntries(Object.entries(given).filter(fits));
}

/**
 * Reads the options in nx.json, which nobody has checked. Wrong ones are left out with a warning, because an error would fail every
 * command.
 * @param warn called for each mistake
 */
export function readPluginOptions(given: unknown, warn: (message: string) => void): PluginOptions {
  const options: PluginOptions = {};
  for (const [key, value] of Object.entries(asRecord(given))) {
    const kind = TARGET_KINDS.find((each) => each === key);
    if (key === RESOURCE_TARGETS) {
      if (Array.isArray(value) && value.every((each) => typeof each === 'string')) options.resourceTargets = value;
      else warn(`the option "${key}" of the plugin nx-igvm takes a list of targets, not ${JSON.stringify(value)}`);
    } else if (kind === undefined) {
      // Nx's own plugins call such options `buildTargetName`.
      const guess = nearest(key.replace(/Target(?:Name)?$/, ''), [...TARGET_KINDS, RESOURCE_TARGETS]);
      warn(`the plugin nx-igvm has no option "${key}"${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
    } else if (isOption(value)) {
      options[kind] = typeof value === 'object' ? checkedExtension(key, value, warn) : value;
    } else {
      warn(`the option "${key}" of the plugin nx-igvm takes a name, false or an object, not ${JSON.stringify(value)}`);
    }
  }
  return options;
}

/** A user's list, with the inferred one in place of `"..."`. */
function spread(inferred: readonly unknown[] | undefined, own: readonly unknown[]): unknown[] {
  return own.flatMap((item) => (item === '...' ? (inferred ?? []) : [item]));
}

/** An inferred target with the user's changes: objects are merged by key, everything else is replaced. */
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

/** The name of a kind of target; undefined if the options leave it out. */
export function targetName(kind: TargetKind, options: PluginOptions, fallback: string = kind): string | undefined {
  const option = options[kind];
  if (option === false) return undefined;
  const name = typeof option === 'string' ? option : option?.name;
  return name === undefined || name === '' ? fallback : name;
}

const TOKEN = '{imageName}';

/** A JSON value with the token replaced in every text in it. */
function replaced<T>(value: T, name: string): T {
  if (typeof value === 'string') return value.replaceAll(TOKEN, name) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => replaced(item, name)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, name)])) as T;
}

/**
 * The plugin's options for one image, with `{imageName}` replaced by its name, like Nx's `{projectName}`. It is not replaced in names of
 * targets: those of several images differ by their suffixes.
 */
export function withImageName(options: PluginOptions, name: string): PluginOptions {
  return Object.fromEntries(
    Object.entries(options).map(([kind, option]) => [
      kind,
      typeof option === 'object' && !Array.isArray(option)
        ? { ...replaced(option, name), ...(option.name && { name: option.name }) }
        : option,
    ]),
  );
}

type Target = Partial<TargetConfiguration>;

/** The name of this plugin's options in messages. */
export const PLUGIN_OPTIONS = 'the options of the plugin nx-igvm in nx.json';

/** What one file of the user states about an inferred target. */
export interface Statement {
  /** The name of the place in messages. */
  readonly from: string;
  readonly stated: Target;
  /** False for a statement that may not apply. Only Nx knows which projects match a filter or an unusual pattern. */
  readonly certain: boolean;
}

/** The user's configuration of an inferred target: in the plugin's options, nx.json, package.json and project.json. */
export interface OwnTarget {
  /** In the order in which Nx merges them: the last has the highest precedence. */
  readonly statements: readonly Statement[];
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
  statementsOf(target: string): Statement[];
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
    statementsOf: (target) =>
      sources.flatMap(({ from, targets }) =>
        Object.hasOwn(targets, target) ? [{ from, stated: asRecord(targets[target]) as Target, certain: true }] : [],
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
function targetDefaults({ targetDefaults: raw }: NxJsonConfiguration, executor: string, name: string): Statement[] {
  const defaults = asRecord(raw);
  const statements: Statement[] = [];
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
    statements.unshift(...fitting.map(({ entry, certain }) => ({ from, stated: entry as Target, certain })));
    if (entries.some(({ certain }) => certain)) break;
  }
  return statements;
}

const texts = (value: unknown): string[] => (typeof value === 'string' ? [value] : []);
const optionsOf = (source: Target, key: string): string[] => texts(asRecord(source.options)[key]);
const configuredOf = ({ configurations }: Target, key: string, wanted?: string): string[] =>
  Object.entries(asRecord(configurations)).flatMap(([name, configuration]) =>
    wanted === undefined || wanted === name ? texts(asRecord(configuration)[key]) : [],
  );

/** @param statements the last has the highest precedence */
export function ownTargetOf(statements: readonly Statement[]): OwnTarget {
  const certain = statements.filter((statement) => statement.certain).map(({ stated }) => stated);
  const uncertain = statements.filter((statement) => !statement.certain).map(({ stated }) => stated);
  const always = (key: string) => certain.flatMap((source) => optionsOf(source, key)).at(-1);
  const configuration = certain.flatMap(({ defaultConfiguration }) => texts(defaultConfiguration)).at(-1);
  return {
    statements,
    always,
    option: (key) =>
      configuration === undefined
        ? always(key)
        : (certain.flatMap((source) => configuredOf(source, key, configuration)).at(-1) ?? always(key)),
    values: (key, inferred) => [
      ...new Set([
        ...texts(always(key) ?? inferred),
        ...uncertain.flatMap((source) => optionsOf(source, key)),
        ...statements.flatMap(({ stated }) => configuredOf(stated, key)),
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
  const files = project.files.statementsOf(name);
  const isOurs = files.every(({ stated }) => stated.executor === undefined || stated.executor === executor);
  return ownTargetOf([
    { from: PLUGIN_OPTIONS, stated: kind === undefined ? {} : asRecord(project.options[kind]), certain: true },
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
