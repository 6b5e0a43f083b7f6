import { isAbsolute, posix, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import type * as LoadInitrd from '../initrd/load-initrd';
import type { Compression } from '../initrd/load-initrd';
import { imageFileNames, imageNameInWorkspace } from '../manifest/image-files';
import {
  BESIDE_IMAGE,
  type ImageManifest,
  type ImageNames,
  type InferredImage,
  type InferredProject,
  type Json,
  outputFolder,
  readAnyManifest,
  readJsonObject,
  readSeparateResources,
  targetName,
  usedOf,
} from './inferred-image';
import { optionFile, optionPath, optionProgram, ownTarget, type OwnTarget } from './own-target';
import {
  allInputs,
  combineInputs,
  escapeGlob,
  fileInputs,
  folderInputs,
  imageInputs,
  NEVER_CACHED,
  resourceInputs,
  type TrackedInputs,
} from './tracked-inputs';

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

export const INITRD_EXECUTOR = 'nx-igvm:initrd';

/** An initrd.json as inference reads it. It is not validated, because a wrong one should still have its target. */
export interface InitrdFile {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  /** The folder that is packed, relative to the workspace or absolute. Undefined if only an image is packed. */
  readonly folder?: string;
  /** The container image that is packed, as written. */
  readonly image?: unknown;
  /** Kernel modules, as written. */
  readonly modules: readonly unknown[];
  /** Name of the output file. */
  readonly output: string;
  /** Why it can't be read. Its target exists nevertheless, and fails with the same error. */
  readonly unread?: IgvmError;
}

/** @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX */
export function readInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  return initrdFile(path, readJsonObject(workspaceRoot, path));
}

/** Reads an initrd.json as far as possible. A mistake in it must not stop every command of Nx. */
export function readAnyInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  try {
    return readInitrdFile(workspaceRoot, path);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { ...initrdFile(path, {}), unread: error };
  }
}

function initrdFile(path: string, { name, folder, image, modules, compression }: Json): InitrdFile {
  const { INITRD_NAMES } = require('../initrd/load-initrd') as typeof LoadInitrd;
  const packed = typeof folder === 'string' ? folder : image === undefined ? 'rootfs' : undefined;
  const isKnown = typeof compression === 'string' && Object.hasOwn(INITRD_NAMES, compression);
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    ...(packed === undefined ? {} : { folder: isAbsolute(packed) ? packed : posix.join(posix.dirname(path), packed) }),
    ...(image === undefined ? {} : { image }),
    modules: Array.isArray(modules) ? modules : [],
    output: INITRD_NAMES[isKnown ? (compression as Compression) : 'none'],
  };
}

/** Inputs for everything that an initramfs is made of. */
const contentInputs = (project: InferredProject, { path, folder, image, modules }: InitrdFile): TrackedInputs[] => [
  ...(folder === undefined ? [] : [folderInputs(project, folder)]),
  ...(image === undefined ? [] : [imageInputs(project, path, image)]),
  ...modules.map((module) => resourceInputs(project, path, module)),
];

/** The target that packs an initramfs. */
export function initrdTarget(project: InferredProject, initrd: InitrdFile, own: OwnTarget): TargetConfiguration {
  const { workspaceRoot, plugin, root } = project;
  const { path } = initrd;
  const others = own
    .values('config')
    .map((value) => optionPath(value, project))
    .filter((other) => other !== path);
  const all = [initrd, ...others.map((other) => readAnyInitrdFile(workspaceRoot, other))];
  const tracked = combineInputs([
    ...[path, ...others].map((each) => fileInputs(project, resolve(workspaceRoot, each), each)),
    ...all.flatMap((each) => (each.unread === undefined ? contentInputs(project, each) : [NEVER_CACHED])),
  ]);
  return {
    executor: INITRD_EXECUTOR,
    cache: true,
    options: { config: path, outputPath: outputFolder(root) },
    ...(tracked.dependsOn.length === 0 ? {} : { dependsOn: tracked.dependsOn }),
    inputs: allInputs(plugin, tracked),
    outputs: outputFiles(
      own.option('outputPath') ?? outputFolder(root),
      [...new Set(all.map(({ output }) => output))],
      project,
    ),
    metadata: {
      technologies: ['igvm'],
      description: `Packs ${initrd.image === undefined ? initrd.folder : 'a container image'} into an initramfs`,
      help: { command: 'npx nx-igvm initrd --help', example: {} },
    },
  };
}
