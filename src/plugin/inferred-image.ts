import { dirname, isAbsolute, posix, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { asRecord, imageFileNames, imageNameInWorkspace, type Json, usedResources } from '../manifest/image-files';
import type * as JsonDocument from '../manifest/json-document';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import {
  optionFile,
  optionPath,
  optionProgram,
  type OwnTarget,
  ownTarget,
  type PluginOptions,
  type ProjectFiles,
  targetName,
} from './configuration';
import {
  allInputs,
  combineInputs,
  escapeGlob,
  fileInputs,
  NEVER_CACHED,
  resourceInputs,
  type TrackedInputs,
  type TrackingPlace,
} from './tracked-inputs';
import type { PluginPlace } from './workspace-nx';

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

/** A manifest as inference reads it: JSON, but not validated, because a wrong manifest should still have its targets. */
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
  /** Why it can't be read. Its targets exist nevertheless, and the build fails with the same error. */
  readonly unread?: IgvmError;
}

/** Keys of a manifest that are about the use of an image and don't change the image. */
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

/** Reads a manifest as far as possible. A mistake in it must not stop every command of Nx. */
export function readAnyManifest(workspaceRoot: string, path: string): ImageManifest {
  try {
    return readImageManifest(workspaceRoot, path);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { path, resources: {}, saysMore: false, unread: error };
  }
}

/** The resources in a separate resources file; none if it can't be read, which the build reports. */
export function readSeparateResources(path: string): Partial<Record<ResourceName, unknown>> {
  try {
    return asRecord(asRecord(JSON.parse(readRegularFile(path, { limit: JSON_SIZE_LIMIT }).toString()))['resources']);
  } catch {
    return {};
  }
}

/** The given resources that a manifest's images use. */
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

export const BUILD_EXECUTOR = 'nx-igvm:build';

/**
 * A target's outputs, with each file by name. The folder may contain files of other targets, which a cache hit would remove. The outputs
 * refer to the option, so that they follow it, unless the folder has special characters, which Nx would treat as a pattern.
 * @param folder the option `outputPath`
 */
export function outputFiles(folder: string, names: readonly string[], project: InferredProject): string[] {
  const path = optionPath(folder, project);
  const start = escapeGlob(path) === path ? '{options.outputPath}' : `{workspaceRoot}/${escapeGlob(path)}`;
  return names.map((name) => `${start}/${escapeGlob(name)}`);
}

/** Inputs for a separate resources file, and for the absolute paths that it names. */
function separateResources(project: InferredProject, manifest: ImageManifest, value: string): TrackedInputs {
  const path = resolve(project.workspaceRoot, optionPath(value, project));
  const files = usedOf(manifest, readSeparateResources(path)).filter((file) => typeof file === 'string');
  return combineInputs([
    optionFile(value, project),
    ...files.filter((file) => isAbsolute(file)).map((file) => fileInputs(project, file, file)),
  ]);
}

/** The manifest that inference found, and those with which options replace it. */
function manifestsOf(project: InferredProject, manifest: ImageManifest, own: OwnTarget): ImageManifest[] {
  const paths = own.values('manifest').map((value) => optionPath(value, project));
  const others = [...new Set(paths)].filter((path) => path !== manifest.path);
  return [manifest, ...others.map((path) => readAnyManifest(project.workspaceRoot, path))];
}

/**
 * Inputs for a manifest without keys that don't affect the image: a change of `launches` needs no build. `nx affected` tracks the manifest
 * itself, because it is in the project's folder.
 */
function manifestInputs(project: InferredProject, { path, saysMore }: ImageManifest): TrackedInputs {
  const file = fileInputs(project, resolve(project.workspaceRoot, path), path);
  if (!saysMore || file.hints.length > 0 || !isBelow(project.root, path)) return file;
  const written = file.inputs.filter((input) => typeof input === 'object' && 'dependentTasksOutputFiles' in input);
  return { ...file, inputs: written, requests: [{ json: path, without: BESIDE_IMAGE }] };
}

const isBelow = (folder: string, path: string): boolean => folder === '.' || path.startsWith(`${folder}/`);

/** Inputs for everything that the image is made of. */
function trackedInputs(project: InferredProject, manifests: readonly ImageManifest[], own: OwnTarget): TrackedInputs {
  // A separate resources file replaces the manifest's. If only a configuration names one, both count.
  const hasOwn = own.always('resources') === undefined;
  return combineInputs([
    ...manifests.flatMap((manifest) => [
      manifestInputs(project, manifest),
      // Its inputs are unknown. If the build can read it after all, the result must not be cached.
      ...(manifest.unread === undefined ? [] : [NEVER_CACHED]),
      ...(hasOwn ? usedOf(manifest, manifest.resources) : []).map((resource) =>
        resourceInputs(project, manifest.path, resource),
      ),
    ]),
    ...manifests.flatMap((manifest) =>
      own.values('resources').map((value) => separateResources(project, manifest, value)),
    ),
    ...own.values('loader').map((value) => optionProgram(value, project)),
  ]);
}

/** An image with the facts about its build target that other targets need. */
export function inferImage(names: ImageNames, project: InferredProject, manifest: ImageManifest): InferredImage {
  const kind = targetName('build', project.options);
  const build = kind === undefined ? undefined : `${kind}${names.suffix}`;
  const own = ownTarget('build', BUILD_EXECUTOR, build ?? 'build', project);
  const folder = optionPath(own.option('outputPath') ?? names.outputPath, project);
  return { ...names, project, manifest, build, file: `${folder}/${names.name}.igvm` };
}

export function buildTarget(image: InferredImage, own: OwnTarget): TargetConfiguration {
  const { project, name, path, manifest, outputPath } = image;
  const manifests = manifestsOf(project, manifest, own);
  const tracked = trackedInputs(project, manifests, own);
  const files = manifests.flatMap((each) =>
    imageFileNames(each === manifest ? name : imageNameInWorkspace(each.path), each),
  );
  return {
    executor: BUILD_EXECUTOR,
    cache: true,
    options: { manifest: path, outputPath },
    ...(tracked.dependsOn.length === 0 ? {} : { dependsOn: tracked.dependsOn }),
    inputs: allInputs(project.plugin, tracked),
    outputs: outputFiles(own.option('outputPath') ?? outputPath, [...new Set(files)], project),
    metadata: {
      technologies: ['igvm'],
      description: `Builds the IGVM image ${name}`,
      help: { command: 'npx nx-igvm build --help', example: { options: { strict: true } } },
    },
  };
}

/** The files of a build, the image first; paths relative to the workspace. */
export function builtFiles({ file, manifest }: InferredImage): string[] {
  const folder = file.slice(0, file.lastIndexOf('/') + 1);
  return imageFileNames(posix.basename(file, '.igvm'), manifest).map((name) => folder + name);
}

/** Inputs for the files of images with which a target's options replace the built one. */
export function namedImages(image: InferredImage, own: OwnTarget): TrackedInputs[] {
  const { project, manifest } = image;
  const paths = own.values('image').map((value) => optionPath(value, project));
  return paths
    .filter((path) => path !== image.file)
    .flatMap((path) => {
      const siblings = imageFileNames(posix.basename(path, '.igvm'), manifest).slice(2);
      const all = [path, `${path}.map`, ...siblings.map((name) => posix.join(posix.dirname(path), name))];
      return all.map((file) => optionFile(file, project));
    });
}

/** Inputs for a file of the workspace that is not an output of a target. @param path relative to the workspace, or absolute */
export const sourceFile = ({ project }: InferredImage, path: string): TrackedInputs =>
  fileInputs(project, resolve(project.workspaceRoot, path), path);

/**
 * The dependencies and inputs of a target that reads the image. It runs after the build, and again when a file of the build changes.
 * Without a build target, the files are ordinary inputs.
 * @param files those of {@link builtFiles} that it reads
 * @param others further files that it reads
 */
export function readsImage(
  image: InferredImage,
  files: readonly string[],
  others: readonly TrackedInputs[] = [],
): Pick<TargetConfiguration, 'dependsOn' | 'inputs'> {
  const { build, project } = image;
  const sources = build === undefined ? files.map((file) => sourceFile(image, file)) : [];
  return {
    ...(build === undefined ? {} : { dependsOn: [build] }),
    inputs: [
      ...(build === undefined ? [] : files.map((file) => ({ dependentTasksOutputFiles: escapeGlob(file) }))),
      ...allInputs(project.plugin, combineInputs([...sources, ...others])),
    ],
  };
}
