import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import { parse } from 'jsonc-parser';
import { isProgramName } from '../files/find-program';
import { readRegularFile } from '../files/regular-file';
import { asRecord, type InferredProject, type Json, type TargetKind } from './inferred-image';
import { fileInputs, toSlashes, type TrackedInputs } from './tracked-inputs';

type Target = Partial<TargetConfiguration>;

/** How messages name the options of this plugin. */
export const PLUGIN_OPTIONS = 'the options of the plugin nx-igvm in nx.json';

/** Something that a file of the user says of an inferred target. */
export interface Saying {
  /** How messages name the place. */
  readonly from: string;
  readonly says: Target;
  /** False for what may apply: only Nx knows which projects a filter or a rare pattern means. */
  readonly certain: boolean;
}

/** What the user says of an inferred target: in the plugin's options, nx.json, package.json and project.json. */
export interface OwnTarget {
  /** The strongest last, as Nx merges them. */
  readonly sayings: readonly Saying[];
  /** An option that no configuration changes, when it is given as text. */
  always(name: string): string | undefined;
  /** An option as it is when no configuration is named: with the default one. */
  option(name: string): string | undefined;
  /** All values that an option can have, with each of the target's configurations and without. @param inferred its value unless the user gives one */
  values(name: string, inferred?: string): string[];
}

/** project.json and package.json of a folder, as far as they say something of inferred targets. */
export interface ProjectFiles {
  /** The project's name if there is such a file; without a name in it, Nx takes the folder's in lower case. */
  readonly name: string | undefined;
  /** What they say of a target, the strongest last. */
  sayingsOf(target: string): Saying[];
  /** The named inputs that they give. */
  readonly namedInputs: Json;
  /** Whether a script of package.json takes the place of a target of this name. */
  hasScript(target: string): boolean;
}

/** Bytes. Nx reads these files, too, and follows links: what it makes of them and what we make of them must not differ. */
const NX_FILE_LIMIT = 2 ** 24;

function read(path: string): Json {
  try {
    // As Nx does: comments are allowed, and a mistake is for Nx to report.
    return asRecord(parse(readRegularFile(path, { limit: NX_FILE_LIMIT }).toString()));
  } catch {
    return {};
  }
}

/** @param folder absolute path @param shown the folder in messages, with a `/` behind it */
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

/** Whether a key is a pattern to Nx (its utils/globs). */
const isPattern = (key: string): boolean => /[*|{}()[]/.test(key);

/** Whether a pattern means a target. Nx's patterns are minimatch's, of which `*`, `?` and plain `{a,b}` are read here. */
export function patternMatches(pattern: string, name: string): Verdict {
  if (/[()[\]\\!#]|\{[^{}]*\{|\.\./.test(pattern)) return 'maybe';
  const source = pattern
    .replace(/[.+^$|]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]')
    .replace(/\{([^{}]*,[^{}]*)\}/g, (_, items: string) => `(?:${items.replaceAll(',', '|')})`);
  return /[{}]/.test(source) ? 'maybe' : new RegExp(`^${source}$`).test(name) ? 'yes' : 'no';
}

/** Whether an entry with this filter applies. */
function filterMatches(filter: Json, executor: string): Verdict {
  if (filter['executor'] !== undefined && filter['executor'] !== executor) return 'no';
  return filter['projects'] === undefined && filter['plugin'] === undefined ? 'yes' : 'maybe';
}

/** The keys that mean a target, the first that has a matching entry is the one that counts: executor, name, patterns by length. */
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
 * What `targetDefaults` of nx.json say of a target, the strongest last. Read as Nx 24 does
 * (project-graph/utils/project-configuration/target-defaults): a value is an object, or a list of entries of which all that match
 * are merged.
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
    // Nx drops an entry that is of another executor, but the key counts.
    const fitting = entries.filter(({ entry }) => entry['executor'] === undefined || entry['executor'] === executor);
    // A weaker key's: it counts where none of the stronger ones does.
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

/** @param sayings the strongest last */
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

/** @param kind undefined for a target that the plugin's options don't know */
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

/** What the tokens in a target's options stand for. */
export interface TokenProject {
  /** The project's name. */
  readonly name: string;
  /** Its folder, relative to the workspace. */
  readonly root: string;
}

/** The text of an option with Nx's tokens replaced, as Nx does before it runs a target. */
export const replaceTokens = (value: string, { name, root }: TokenProject): string =>
  value
    .replace(/^\{workspaceRoot\}\//, '')
    .replaceAll('{projectRoot}', root)
    .replaceAll('{projectName}', name);

/** A path in an option with its tokens replaced: relative to the workspace or absolute, with `/`. */
export const optionPath = (value: string, project: TokenProject): string => toSlashes(replaceTokens(value, project));

/** A file that an option names. */
export function optionFile(value: string, project: InferredProject): TrackedInputs {
  const path = optionPath(value, project);
  return fileInputs(project, resolve(project.workspaceRoot, path), path);
}

/** A program that an option names. Where PATH has it is looked up when its hash is asked for. */
export function optionProgram(value: string, project: InferredProject): TrackedInputs {
  const file = optionFile(value, project);
  return isProgramName(value) ? { ...file, requests: [...file.requests, { program: value }] } : file;
}
