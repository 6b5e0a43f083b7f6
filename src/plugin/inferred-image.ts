import { dirname, posix } from 'node:path';
import type { NxJsonConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { imageNameInWorkspace } from '../manifest/image-files';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import { usedResources } from '../manifest/used-resources';
import type { ProjectFiles } from './own-target';
import type { PluginOptions, TargetKind } from './plugin-options';
import type { PluginPlace } from './plugin-place';
import { asRecord, readJsonObject } from './read-json';
import type { TrackingPlace } from './tracked-inputs';

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

/** What a manifest's images use of the given resources. */
export function usedOf(manifest: ImageManifest, resources: Partial<Record<ResourceName, unknown>>): unknown[] {
  const uses = usedResources(manifest);
  return RESOURCE_NAMES.flatMap((name) => (uses.has(name) && Object.hasOwn(resources, name) ? [resources[name]] : []));
}

/** Where inferred targets are made: a folder of a workspace. */
export interface InferredProject extends TrackingPlace {
  readonly nxJson: NxJsonConfiguration;
  readonly options: PluginOptions;
  readonly plugin: PluginPlace;
  readonly files: ProjectFiles;
  /** What Nx calls the project. */
  readonly name: string;
  /** Relative to the workspace; `.` for its root. */
  readonly root: string;
}

/** The names of an image. */
export interface ImageNames {
  /** Path of its manifest, relative to the workspace. */
  readonly path: string;
  /** Of its files. */
  readonly name: string;
  /** Behind the name of every target: nothing for the only image of a project, otherwise `-NAME`. */
  readonly suffix: string;
  /** Folder of its files, relative to the workspace. */
  readonly outputPath: string;
}

/** What the targets of one image are made from. */
export interface InferredImage extends ImageNames {
  readonly project: InferredProject;
  readonly manifest: ImageManifest;
  /** Name of the target that builds it, or undefined when there is none. */
  readonly build: string | undefined;
  /** Path of the image that this target writes, relative to the workspace or absolute. */
  readonly file: string;
}

/** The name of a kind of target, or undefined when the options leave it out. */
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
    // `a/igvm.json` and `a/a.igvm.json` are both called a: the first steps aside.
    const taken = posix.basename(path) === 'igvm.json' && names.filter((other) => other === name).length > 1;
    return taken
      ? { path, name, suffix: '-igvm', outputPath: `${folder}/igvm` }
      : { path, name, suffix, outputPath: folder };
  });
}

const TOKEN = '{imageName}';

/** A value of JSON with the token replaced in every text below it. */
function replaced<T>(value: T, name: string): T {
  if (typeof value === 'string') return value.replaceAll(TOKEN, name) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => replaced(item, name)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, name)])) as T;
}

/**
 * The plugin's options for one image: `{imageName}` stands for its name, as Nx has `{projectName}` for the project's. Names of
 * targets are left alone: those of several images differ by what is behind them.
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
