import { posix } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { asRecord } from '../manifest/image-files';
import type { InferredProject } from './inferred-image';
import {
  type OwnTarget,
  patternMatches,
  PLUGIN_OPTIONS,
  replaceTokens,
  type Statement,
  type TokenProject,
} from './configuration';
import type { PluginPlace } from './workspace-nx';
import { type DependsOn, type Inputs, unescapeGlob } from './tracked-inputs';
import { requestsOf, runtimeInput } from './hash-files';

/**
 * A user's `inputs`, `outputs` and `dependsOn` in `targetDefaults`, project.json or package.json replace those of an inferred target as
 * whole lists. Then an image could be a cache hit although its kernel has changed, a hit could restore nothing, or the kernel might not be
 * built first. This file finds out what such a target lacks, and adapts it so that it is still correct.
 */

/** The keys of a target that users may replace. They are also the values of the executors' option `ownKeys`. */
export const GUARDED_KEYS = ['inputs', 'outputs', 'dependsOn', 'cache'] as const;
export type GuardedKey = (typeof GUARDED_KEYS)[number];

/** Something that a target lacks. */
export interface Lack {
  key: GuardedKey;
  /** The consequence, as a clause. */
  effect: string;
}

/** What is known about a target to find what it lacks. */
export interface Comparison {
  /** The target as inferred, with its actual options. */
  expected: TargetConfiguration;
  /** The target as it is. */
  effective: TargetConfiguration;
  project: TokenProject;
  /** Returns the definition of a named input in the project or in nx.json. */
  namedInput: (name: string) => Inputs | undefined;
  /** Whether no other target writes to this one's folders. Only then may an output be a folder. */
  ownFolder: boolean;
  /** Whether a target runs first for a reason that the lists don't show. */
  runsBefore?: (project: string, target: string) => boolean;
}

type Definition = Exclude<Inputs[number], string>;

/** Inputs with named ones replaced by their definitions. `^…` concerns other projects and is left out. */
function flatten(inputs: Inputs, namedInput: Comparison['namedInput'], depth = 0): Definition[] {
  return inputs.flatMap((input): Definition[] => {
    const isText = typeof input === 'string';
    if (isText && input.startsWith('^')) return [];
    const { input: name, dependencies, projects } = isText ? { input } : (input as Record<string, unknown>);
    if (typeof name !== 'string') return isText ? [] : [input as Definition];
    if (dependencies === true || (projects !== undefined && projects !== 'self')) return [];
    const definition = depth < 20 ? namedInput(name) : undefined;
    return definition === undefined ? [{ fileset: name }] : flatten(definition, namedInput, depth + 1);
  });
}

/** The same text for equal inputs, whatever the order of their keys. */
const canonical = (value: object): string => JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));

const filesetPath = (fileset: string): string => unescapeGlob(fileset.replace(/^\{workspaceRoot\}\//, ''));

/** Something that the target's inputs don't track; undefined if they track everything. */
function missingInput({ expected, effective, namedInput }: Comparison): string | undefined {
  const has = flatten(effective.inputs ?? ['default'], namedInput);
  const definitions = new Set(has.map(canonical));
  const requests = new Set(
    has.flatMap((input) => ('runtime' in input ? requestsOf(input.runtime).map((each) => JSON.stringify(each)) : [])),
  );
  const watches = (file: string): boolean => requests.has(JSON.stringify({ file }));
  // Nx combines a target's filesets, and an exclusion applies to all of them.
  const isCut = has.some((input) => 'fileset' in input && input.fileset.startsWith('!{workspaceRoot}'));
  const packages = has.filter((input) => 'externalDependencies' in input);
  for (const input of (expected.inputs ?? []) as Definition[]) {
    if ('runtime' in input) {
      const missing = requestsOf(input.runtime).find(
        (each) => !requests.has(JSON.stringify(each)) && !('linked' in each && watches(each.linked)),
      );
      if (missing !== undefined) return Object.values(missing).map(String)[0];
    } else if ('fileset' in input) {
      // Plain filesets only help `nx affected`. Other inputs hash their files.
      if (!('includeIgnored' in input) || watches(filesetPath(input.fileset))) continue;
      const isFile = !/(?:^|[^\\])\*/.test(input.fileset);
      if ((isCut && isFile) || !definitions.has(canonical(input))) return filesetPath(input.fileset);
    } else if ('dependentTasksOutputFiles' in input) {
      if (!definitions.has(canonical(input))) return input.dependentTasksOutputFiles;
    } else if ('externalDependencies' in input && packages.length > 0) {
      // Without any list, all packages count.
      const listed = packages.flatMap((each) => (each as { externalDependencies: string[] }).externalDependencies);
      const missing = input.externalDependencies.find((name) => !listed.includes(name));
      if (missing !== undefined) return `the package ${missing}`;
    }
  }
  return undefined;
}

/** Outputs as paths and patterns relative to the workspace. Those with an option that isn't set are left out. */
function resolveOutputs(outputs: readonly string[], options: unknown, project: TokenProject): string[] {
  return outputs.flatMap((output) => {
    const text = output.replace(/\{options\.([^}]+)\}/g, (token, name: string) => {
      const value = asRecord(options)[name];
      return typeof value === 'string' ? value : token;
    });
    if (text.includes('{options.')) return [];
    const path = replaceTokens(text.replace(/^!/, ''), project).replaceAll('{workspaceRoot}', '.');
    return [`${text.startsWith('!') ? '!' : ''}${posix.normalize(path).replace(/\/$/, '')}`];
  });
}

/** Whether a pattern of Nx matches a path for certain. */
function matchesPath(pattern: string, path: string): boolean {
  const [patterns, steps] = [pattern.split('/'), path.split('/')];
  const from = (p: number, s: number): boolean => {
    const step = patterns[p];
    if (step === undefined) return s === steps.length;
    if (step === '**') return from(p + 1, s) || (s < steps.length && from(p, s + 1));
    return s < steps.length && (step === steps[s] || patternMatches(step, steps[s]!) === 'yes') && from(p + 1, s + 1);
  };
  return from(0, 0);
}

/** A file that a cache hit would not restore; undefined if there is none. */
function missingOutput({ expected, effective, project, ownFolder }: Comparison): string | undefined {
  const options = { ...asRecord(expected.options), ...asRecord(effective.options) };
  const has = resolveOutputs(effective.outputs ?? [], options, project);
  const [left, taken] = [
    has.filter((output) => output.startsWith('!')),
    has.filter((output) => !output.startsWith('!')),
  ];
  const covers = (output: string, file: string): boolean =>
    unescapeGlob(output) === file ||
    (ownFolder && (file.startsWith(`${unescapeGlob(output)}/`) || matchesPath(output, file)));
  return resolveOutputs(expected.outputs ?? [], options, project)
    .map(unescapeGlob)
    .find(
      (file) =>
        !taken.some((output) => covers(output, file)) || left.some((output) => matchesPath(output.slice(1), file)),
    );
}

/** Whether an entry of `dependsOn` certainly runs a target of a project. @param self name of the project with the entry */
function covers(entry: DependsOn[number] | string, project: string, target: string, self: string): boolean {
  if (typeof entry === 'string') {
    if (entry.startsWith('^')) return project !== self && patternMatches(entry.slice(1), target) === 'yes';
    if (entry === `${project}:${target}`) return true;
    return project === self && (entry === target || patternMatches(entry, target) === 'yes');
  }
  if (entry.target !== target && patternMatches(entry.target, target) !== 'yes') return false;
  if (entry.dependencies === true) return project !== self;
  const projects = entry.projects === undefined || entry.projects === 'self' ? [self] : [entry.projects].flat();
  return projects.some((name) => name === '*' || name === project || (name === 'dependencies' && project !== self));
}

/** A target that has to run first and doesn't; undefined if there is none. */
function missingDependency({
  expected,
  effective,
  project: { name: self },
  runsBefore,
}: Comparison): string | undefined {
  const has = (effective.dependsOn ?? []) as (DependsOn[number] | string)[];
  for (const entry of (expected.dependsOn ?? []) as (DependsOn[number] | string)[]) {
    const target = typeof entry === 'string' ? entry : entry.target;
    const projects = typeof entry === 'string' || entry.projects === undefined ? [self] : [entry.projects].flat();
    for (const project of projects) {
      if (has.some((each) => covers(each, project, target, self)) || runsBefore?.(project, target) === true) continue;
      return project === self ? target : `${project}:${target}`;
    }
  }
  return undefined;
}

/** Whether the target is never taken from the cache. */
function isNeverHit({ effective, namedInput }: Comparison): boolean {
  return flatten(effective.inputs ?? [], namedInput).some(
    (input) => 'runtime' in input && requestsOf(input.runtime).some((request) => 'never' in request),
  );
}

/** What a target lacks to be correct: at most one entry for each key. */
export function lacksOf(comparison: Comparison): Lack[] {
  const { expected, effective } = comparison;
  const lacks: Lack[] = [];
  const add = (key: GuardedKey, effect: string | undefined): void => {
    if (effect !== undefined) lacks.push({ key, effect });
  };
  const after = (text: string | undefined, effect: (text: string) => string) => text && effect(text);
  add(
    'dependsOn',
    after(missingDependency(comparison), (target) => `${target} would not run first`),
  );
  if (effective.cache !== true) return lacks;
  if (expected.cache === false) add('cache', 'it could be taken from the cache, although it has to run each time');
  else if (!isNeverHit(comparison)) {
    add(
      'inputs',
      after(missingInput(comparison), (input) => `Nx would not notice a change in ${input}`),
    );
    add(
      'outputs',
      after(missingOutput(comparison), (file) => `a cache hit would not restore ${file}`),
    );
  }
  return lacks;
}

/** The keys that a user replaces on purpose. */
export function ownKeysOf(options: unknown): GuardedKey[] {
  const keys: unknown = asRecord(options)['ownKeys'];
  return GUARDED_KEYS.filter((key) => Array.isArray(keys) && keys.includes(key));
}

/** The value of a key as Nx merges it, and the place that replaced the inferred value, if any. */
export function mergedValue(
  statements: readonly Statement[],
  key: GuardedKey,
  inferred?: unknown,
): { value: unknown; from: string | undefined } {
  let value = inferred;
  let from: string | undefined;
  for (const { stated, from: place } of statements) {
    const given: unknown = stated[key];
    if (given === undefined) continue;
    const isSpread = Array.isArray(given) && given.includes('...');
    if (!isSpread) from = place;
    value = isSpread
      ? given.flatMap((item: unknown) => (item === '...' ? ((value ?? []) as unknown[]) : [item]))
      : given;
  }
  return { value, from };
}

/** The cure for a list that replaces an inferred one. @param spread whether the workspace's Nx supports `"..."` */
export function cureFor(from: string | undefined, executor: string, spread: boolean): string {
  if (from?.startsWith('nx.json (targetDefaults') === true && !from.includes(executor)) {
    return '"nx g nx-igvm:init" adds an entry for the executor to targetDefaults, which keeps the inferred lists';
  }
  if (spread || from === PLUGIN_OPTIONS) {
    return 'put "..." into the list, which stands for the inferred values, or remove the key';
  }
  return 'remove the key, and put its additions into the options of the plugin nx-igvm in nx.json, with "..." in the list';
}

/** An inferred target adapted to the user's configuration, so that it works or at least is never wrong. */
export interface AdaptedTarget {
  target: TargetConfiguration;
  /** A named input of the project that contains the inferred inputs. The user's list refers to it by name. */
  named?: { name: string; inputs: Inputs };
  /** Warnings for the user. */
  warnings: string[];
}

/** The first named input of a list that the project can redefine. */
function nameToExtend(inputs: unknown, project: InferredProject): string | undefined {
  const names = (Array.isArray(inputs) ? inputs : []).flatMap((input: unknown) => {
    if (typeof input === 'string') return [input];
    const { input: name, dependencies, projects } = asRecord(input);
    return typeof name === 'string' && dependencies !== true && projects === undefined ? [name] : [];
  });
  return names.find(
    (name) => namedInputOf(name, project) !== undefined && !Object.hasOwn(project.files.namedInputs, name),
  );
}

/** The definition of a named input in a project, before inference adds to it. */
function namedInputOf(name: string, { files, nxJson }: InferredProject): Inputs | undefined {
  const standard = name === 'default' ? ['{projectRoot}/**/*'] : undefined;
  const own = files.namedInputs[name] ?? asRecord(nxJson.namedInputs)[name] ?? standard;
  return Array.isArray(own) ? (own as Inputs) : undefined;
}

/** Inputs that work whatever else is in the list. Nx applies an exclusion in one input to the filesets of all of them. */
function robust(inputs: Inputs, plugin: PluginPlace): Inputs {
  const requests = inputs.flatMap((input) =>
    typeof input === 'object' && 'runtime' in input ? requestsOf(input.runtime) : [],
  );
  const others = inputs.filter((input) => typeof input === 'string' || !('runtime' in input));
  const files = requests.map((request) => ('linked' in request ? { file: request.linked } : request));
  return [...others, ...runtimeInput(plugin, files)];
}

/**
 * Adapts an inferred target to the user's lists. The inferred inputs go into a named input that the user's list contains. If there is
 * none, or if a hit would not restore the outputs, the target is not cached. The executor refuses the remaining cases.
 */
export function adaptTarget(
  expected: TargetConfiguration,
  merged: TargetConfiguration,
  own: OwnTarget,
  project: InferredProject,
  name: string,
  ownFolder: boolean,
): AdaptedTarget {
  const effectiveWith = (statements: readonly Statement[]): TargetConfiguration => ({
    ...merged,
    options: Object.assign({}, expected.options, ...statements.map(({ stated }) => asRecord(stated.options))) as object,
    ...Object.fromEntries(GUARDED_KEYS.map((key) => [key, mergedValue(statements, key, expected[key]).value])),
  });
  const certain = own.statements.filter((statement) => statement.certain);
  const lacking = (effective: TargetConfiguration): Lack[] =>
    lacksOf({ expected, effective, project, namedInput: (each) => namedInputOf(each, project), ownFolder }).filter(
      ({ key }) => !ownKeysOf(effective.options).includes(key),
    );
  const effective = effectiveWith(certain);
  const possible = effectiveWith(own.statements);
  const lacks = lacking(effective);
  // Nx refuses every command if a continuous target has `cache`. This way, only the target itself is refused.
  const isCached = merged.continuous === true && possible.cache === true;
  const adapted: AdaptedTarget = { target: isCached ? { ...merged, continuous: false } : merged, warnings: [] };
  const inputs = [lacks, lacking(possible)].some((all) => all.some(({ key }) => key === 'inputs'))
    ? nameToExtend(possible.inputs, project)
    : undefined;
  let extra: Inputs = robust(expected.inputs ?? [], project.plugin);
  const left = lacks.filter(({ key }) => key !== 'inputs' || inputs === undefined);
  const uncached = left.filter(({ key }) => key === 'inputs' || key === 'outputs');
  const statesCache = certain.some(({ stated }) => stated.cache !== undefined);
  // Whether the inferred inputs count, either by themselves or through a named input.
  const counts = inputs !== undefined || !lacks.some(({ key }) => key === 'inputs');
  if (uncached.length > 0 && !statesCache) adapted.target = { ...merged, cache: false };
  else if (uncached.length > 0 && counts) {
    const never = runtimeInput(project.plugin, [{ never: true }]);
    extra = [...extra, ...never];
    adapted.target = { ...merged, inputs: [...(merged.inputs ?? []), ...never] };
  }
  const isRefused = (key: GuardedKey): boolean =>
    !uncached.some((each) => each.key === key) || (statesCache && !counts);
  adapted.warnings = left.map(({ key, effect }) => {
    const { from } = mergedValue(certain, key);
    const result = isRefused(key) ? 'will be refused' : 'is never taken from the cache';
    const cure = cureFor(from, expected.executor ?? '', project.features.spread);
    return `${project.name}:${name} ${result}: "${key}" in ${from} replaces the inferred value, so ${effect}; ${cure}`;
  });
  if (inputs === undefined) return adapted;
  return { ...adapted, named: { name: inputs, inputs: [...(namedInputOf(inputs, project) ?? []), ...extra] } };
}
