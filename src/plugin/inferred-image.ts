import { dirname, posix, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { imageNameInWorkspace, usedResources } from '../manifest/image-files';
import type * as JsonDocument from '../manifest/json-document';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import { nearest } from '../manifest/unknown-keys';
import type { ProjectFiles } from './own-target';
import type { PluginPlace } from './plugin-place';
import type { TrackingPlace } from './tracked-inputs';

export type Json = Record<string, unknown>;

/** The value if it is a JSON object, otherwise an empty object. */
export const asRecord = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

/**
 * The bytes of a file for inference, which runs for every command of Nx, without being asked. A link in the workspace must not lead it
 * to a secret or a device outside.
 * @param path relative to the workspace, or absolute
 * @throws NotRegularError, and the errors of node:fs
 */
export const readForInference = (workspaceRoot: string, path: string, limit = JSON_SIZE_LIMIT): Buffer =>
  readRegularFile(resolve(workspaceRoot, path), { limit, within: workspaceRoot });

/**
 * Reads a JSON file of the workspace. Any other value counts as an empty object; the build reports it.
 * @param path relative to the workspace, or absolute
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX, the only failures of inference
 */
export function readJsonObject(workspaceRoot: string, path: string): Json {
  let bytes: Buffer;
  try {
    bytes = readForInference(workspaceRoot, path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    return asRecord(JSON.parse(bytes.toString()));
  } catch {
    // The slower parser reports what is wrong, and where.
    const { parseJson } = require('../manifest/json-document') as typeof JsonDocument;
    return asRecord(parseJson(bytes, path).value);
  }
}

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

/** A manifest as inference reads it: JSON, but not validated, as a wrong manifest shall still have its targets. */
export interface ImageManifest {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  readonly guest_arch?: unknown;
  readonly guest_configs?: unknown;
  /** What its boot test waits for, and for how long. */
  readonly boot_test?: unknown;
  readonly resources: Partial<Record<ResourceName, unknown>>;
  /** Whether it has one of {@link BESIDE_IMAGE}. */
  readonly saysMore: boolean;
  /** Why nothing is known of it. Its targets are there nevertheless, and the build says the same. */
  readonly unread?: IgvmError;
}

/** Keys of a manifest that say what is done with an image, and nothing of what is in it. */
export const BESIDE_IMAGE: readonly string[] = ['launches', 'boot_test'];

/**
 * Reads a manifest.
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX
 */
export function readImageManifest(workspaceRoot: string, path: string): ImageManifest {
  const json = readJsonObject(workspaceRoot, path);
  const { name, guest_arch: arch, guest_configs: guests, boot_test: bootTest, resources } = json;
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    guest_arch: arch,
    guest_configs: guests,
    boot_test: bootTest,
    resources: asRecord(resources),
    saysMore: BESIDE_IMAGE.some((key) => Object.hasOwn(json, key)),
  };
}

/** A manifest as far as it can be read: a mistake in one is no reason to stop every command of Nx. */
export function readAnyManifest(workspaceRoot: string, path: string): ImageManifest {
  try {
    return readImageManifest(workspaceRoot, path);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { path, resources: {}, saysMore: false, unread: error };
  }
}

/** The resources of a separate resources file; none when it can't be read, which the build reports. */
export function readSeparateResources(path: string): Partial<Record<ResourceName, unknown>> {
  try {
    return asRecord(asRecord(JSON.parse(readRegularFile(path, { limit: JSON_SIZE_LIMIT }).toString()))['resources']);
  } catch {
    return {};
  }
}

/** Those of the given resources that a manifest's images use. */
export function usedOf(manifest: ImageManifest, resources: Partial<Record<ResourceName, unknown>>): unknown[] {
  const uses = usedResources(manifest);
  return RESOURCE_NAMES.flatMap((name) => (uses.has(name) && Object.hasOwn(resources, name) ? [resources[name]] : []));
}

/** A project for which targets are inferred. */
export interface InferredProject extends TrackingPlace {
  readonly nxJson: NxJsonConfiguration;
  readonly options: PluginOptions;
  readonly plugin: PluginPlace;
  readonly files: ProjectFiles;
  /** The project's name in Nx. */
  readonly name: string;
  /** Relative to the workspace; `.` for its root. */
  readonly root: string;
}

/** The names of an image. */
export interface ImageNames {
  /** Path of its manifest, relative to the workspace. */
  readonly path: string;
  /** The name of its files, without extensions. */
  readonly name: string;
  /** The end of each target's name: empty for the only image of a project, otherwise `-NAME`. */
  readonly suffix: string;
  /** Folder of its files, relative to the workspace. */
  readonly outputPath: string;
}

/** Everything from which the targets of one image are inferred. */
export interface InferredImage extends ImageNames {
  readonly project: InferredProject;
  readonly manifest: ImageManifest;
  /** Name of the target that builds it; undefined if there is none. */
  readonly build: string | undefined;
  /** Path of the image that the build target writes, relative to the workspace or absolute. */
  readonly file: string;
}

/** The name of a kind of target; undefined if the options leave it out. */
export function targetName(kind: TargetKind, options: PluginOptions, fallback: string = kind): string | undefined {
  const option = options[kind];
  if (option === false) return undefined;
  const name = typeof option === 'string' ? option : option?.name;
  return name === undefined || name === '' ? fallback : name;
}

/** The folder for the outputs of a project. */
export const outputFolder = (projectRoot: string): string => (projectRoot === '.' ? 'dist' : `dist/${projectRoot}`);

/** Names of the images of one folder. @param paths all its manifests */
export function nameImages(paths: readonly string[]): ImageNames[] {
  const names = paths.map(imageNameInWorkspace);
  return paths.map((path, index) => {
    const name = names[index]!;
    const folder = outputFolder(dirname(path));
    const suffix = paths.length > 1 ? `-${name}` : '';
    // `a/igvm.json` and `a/a.igvm.json` are both called a, so the first gets another name.
    const taken = posix.basename(path) === 'igvm.json' && names.filter((other) => other === name).length > 1;
    return taken
      ? { path, name, suffix: '-igvm', outputPath: `${folder}/igvm` }
      : { path, name, suffix, outputPath: folder };
  });
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
