import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import { imageFileNames, imageNameInWorkspace } from '../manifest/image-files';
import { type ImageManifest, readSeparateResources, usedOf } from './image-manifest';
import { mergeTarget } from './merge-target';
import { type PluginPlace, runtimeInput } from './plugin-inputs';
import { type PluginOptions, TARGET_KINDS, type TargetKind, type TargetOption } from './plugin-options';
import { optionValues, type ProjectFiles, targetDefaults } from './project-files';
import { combineInputs, escapeGlob, fileInputs, resourceInputs, type TrackedInputs } from './resource-inputs';
import { toSlashes } from './package';

/** What the targets of one image are made from. */
export interface InferredImage {
  readonly workspaceRoot: string;
  readonly nxJson: NxJsonConfiguration;
  readonly options: PluginOptions;
  readonly plugin: PluginPlace;
  readonly project: ProjectFiles;
  /** Relative to the workspace; `.` for its root. */
  readonly projectRoot: string;
  readonly manifest: ImageManifest;
  /** Name of the image's files. */
  readonly name: string;
  /** Folder of the outputs, relative to the workspace. */
  readonly outputFolder: string;
  /** Behind the name of every target: nothing for the only image of a project, otherwise `-NAME`. */
  readonly suffix: string;
}

/** The name of a kind of target, or undefined when the options leave it out. */
export function targetName(kind: TargetKind, options: PluginOptions): string | undefined {
  const option = options[kind];
  if (option === false) return undefined;
  const name = typeof option === 'string' ? option : option?.name;
  return name === undefined || name === '' ? kind : name;
}

const ownName = (kind: TargetKind, image: InferredImage): string | undefined => {
  const name = targetName(kind, image.options);
  return name === undefined ? undefined : `${name}${image.suffix}`;
};

/** What project.json, package.json, nx.json and the plugin's options say of a target, the strongest last. */
function ownTargets(kind: TargetKind, executor: string, image: InferredImage): Partial<TargetConfiguration>[] {
  const name = ownName(kind, image) ?? kind;
  const option: TargetOption | undefined = image.options[kind];
  const own = image.project.targetOf(name);
  return [
    typeof option === 'object' ? option : {},
    targetDefaults(image.nxJson, executor, name),
    own.executor === undefined || own.executor === executor ? own : {},
  ];
}

/** A separate resources file, and the absolute paths that it names. */
function separateResources(image: InferredImage, value: string): TrackedInputs {
  const { workspaceRoot, projectRoot, manifest } = image;
  const written = value.replaceAll('{projectRoot}', projectRoot).replace(/^\{workspaceRoot\}\//, '');
  const path = resolve(workspaceRoot, written);
  const files = usedOf(manifest, readSeparateResources(path)).filter((file) => typeof file === 'string');
  return combineInputs([
    fileInputs(workspaceRoot, path, toSlashes(written)),
    ...files.filter((file) => isAbsolute(file)).map((file) => fileInputs(workspaceRoot, file, file)),
  ]);
}

function buildTarget(image: InferredImage): TargetConfiguration {
  const { workspaceRoot, manifest, name, outputFolder, plugin } = image;
  const executor = 'nx-igvm:build';
  const separate = optionValues(ownTargets('build', executor, image), 'resources');
  const tracked = combineInputs([
    fileInputs(workspaceRoot, join(workspaceRoot, manifest.path), manifest.path),
    ...usedOf(manifest, manifest.resources).map((resource) => resourceInputs(workspaceRoot, manifest.path, resource)),
    ...separate.map((value) => separateResources(image, value)),
  ]);
  return {
    executor,
    cache: true,
    options: { manifest: manifest.path, outputPath: outputFolder },
    ...(tracked.dependsOn.length === 0 ? {} : { dependsOn: tracked.dependsOn }),
    inputs: [...tracked.inputs, ...runtimeInput(plugin, [...tracked.requests, ...plugin.requests]), ...plugin.inputs],
    // Each file by its name: the folder may have files of other images.
    outputs: imageFileNames(name, manifest).map((file) => `{options.outputPath}/${escapeGlob(file)}`),
    metadata: {
      technologies: ['igvm'],
      description: `Builds the IGVM image ${name}`,
      help: { command: 'npx nx-igvm build --help', example: { options: { strict: true } } },
    },
  };
}

/** A kind of inferred target. */
interface TargetRow {
  create: (image: InferredImage) => TargetConfiguration | undefined;
  /** What one target that runs those of all images does; none for kinds that aren't run together. */
  together?: string;
}

const ROWS: Partial<Record<TargetKind, TargetRow>> = {
  build: { create: buildTarget, together: 'Builds all IGVM images of the project' },
};

/** The targets of one image by their names. */
export function imageTargets(image: InferredImage): Record<string, TargetConfiguration> {
  const targets: Record<string, TargetConfiguration> = {};
  for (const kind of TARGET_KINDS) {
    const name = ownName(kind, image);
    const target = name === undefined ? undefined : ROWS[kind]?.create(image);
    if (name !== undefined && target !== undefined) targets[name] = mergeTarget(target, image.options[kind]);
  }
  return targets;
}

/** For a project with several images: the targets that run those of all images. */
export function togetherTargets(
  suffixes: readonly string[],
  options: PluginOptions,
): Record<string, TargetConfiguration> {
  const targets: Record<string, TargetConfiguration> = {};
  for (const kind of TARGET_KINDS) {
    const name = targetName(kind, options);
    const description = ROWS[kind]?.together;
    if (name === undefined || description === undefined) continue;
    targets[name] = {
      executor: 'nx:noop',
      dependsOn: suffixes.map((suffix) => `${name}${suffix}`),
      metadata: { technologies: ['igvm'], description, help: { command: `npx nx-igvm ${kind} --help`, example: {} } },
    };
  }
  return targets;
}

/** The images of one folder, each with its name and its place for outputs. */
export function nameImages(
  manifests: readonly string[],
): { manifest: string; name: string; suffix: string; outputFolder: string }[] {
  const several = manifests.length > 1;
  const names = manifests.map(imageNameInWorkspace);
  return manifests.map((manifest, index) => {
    const name = names[index]!;
    const folder = dirname(manifest) === '.' ? 'dist' : `dist/${dirname(manifest)}`;
    // `a/igvm.json` and `a/a.igvm.json` both describe an image a: the first steps aside.
    const taken =
      manifest.endsWith('/igvm.json') || manifest === 'igvm.json'
        ? names.filter((other) => other === name).length > 1
        : false;
    return {
      manifest,
      name,
      suffix: several ? `-${taken ? 'igvm' : name}` : '',
      outputFolder: taken ? `${folder}/igvm` : folder,
    };
  });
}
