import { isAbsolute, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { imageFileNames, imageNameInWorkspace } from '../manifest/image-files';
import { type ImageManifest, readImageManifest, readSeparateResources, usedOf } from './image-manifest';
import { type InferredImage, targetName } from './inferred-image';
import { outputFiles } from './output-files';
import { optionFile, type OwnTarget, optionPath, ownTarget } from './own-target';
import { runtimeInput } from './plugin-inputs';
import { combineInputs, fileInputs, resourceInputs, type TrackedInputs } from './resource-inputs';

const EXECUTOR = 'nx-igvm:build';

/** Name of the target that builds the image, or undefined when the options leave it out. */
export function buildName({ project, suffix }: InferredImage): string | undefined {
  const name = targetName('build', project.options);
  return name === undefined ? undefined : `${name}${suffix}`;
}

const own = (image: InferredImage): OwnTarget =>
  ownTarget('build', EXECUTOR, buildName(image) ?? 'build', image.project);

/** A separate resources file, and the absolute paths that it names. */
function separateResources({ project, manifest }: InferredImage, value: string): TrackedInputs {
  const { workspaceRoot } = project;
  const path = resolve(workspaceRoot, optionPath(value, project));
  const files = usedOf(manifest, readSeparateResources(path)).filter((file) => typeof file === 'string');
  return combineInputs([
    optionFile(value, project),
    ...files.filter((file) => isAbsolute(file)).map((file) => fileInputs(workspaceRoot, file, file)),
  ]);
}

/** The manifest that inference found, and those that options name in its place. */
function manifestsOf({ project, manifest }: InferredImage, target: OwnTarget): ImageManifest[] {
  const paths = target.values('manifest').map((value) => optionPath(value, project));
  const others = [...new Set(paths)].filter((path) => path !== manifest.path);
  return [manifest, ...others.map((path) => readOtherManifest(project.workspaceRoot, path))];
}

function readOtherManifest(workspaceRoot: string, path: string): ImageManifest {
  try {
    return readImageManifest(workspaceRoot, path);
  } catch {
    // The build reports it.
    return { path, resources: {} };
  }
}

/** Everything that the image is made of. */
function trackedInputs(image: InferredImage, manifests: readonly ImageManifest[], target: OwnTarget): TrackedInputs {
  const { project } = image;
  const { workspaceRoot } = project;
  // A separate file is then the only place for resources; with a configuration's, both are.
  const hasOwn = target.always('resources') === undefined;
  return combineInputs([
    ...manifests.flatMap((manifest) => [
      fileInputs(workspaceRoot, resolve(workspaceRoot, manifest.path), manifest.path),
      ...(hasOwn ? usedOf(manifest, manifest.resources) : []).map((resource) =>
        resourceInputs(workspaceRoot, manifest.path, resource),
      ),
    ]),
    ...manifests.flatMap((manifest) =>
      target.values('resources').map((value) => separateResources({ ...image, manifest }, value)),
    ),
    ...target.values('loader').map((value) => optionFile(value, project)),
  ]);
}

/** Path of the image that the build target writes, relative to the workspace. */
export function builtImage(image: InferredImage): string {
  const folder = optionPath(own(image).option('outputPath') ?? image.outputPath, image.project);
  return `${folder}/${image.name}.igvm`;
}

export function buildTarget(image: InferredImage): TargetConfiguration {
  const { project, name, path } = image;
  const target = own(image);
  const manifests = manifestsOf(image, target);
  const { inputs, requests, dependsOn } = trackedInputs(image, manifests, target);
  const files = manifests.flatMap((manifest) =>
    imageFileNames(manifest === image.manifest ? name : imageNameInWorkspace(manifest.path), manifest),
  );
  return {
    executor: EXECUTOR,
    cache: true,
    options: { manifest: path, outputPath: image.outputPath },
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
    inputs: [
      ...inputs,
      ...runtimeInput(project.plugin, [...requests, ...project.plugin.requests]),
      ...project.plugin.inputs,
    ],
    outputs: outputFiles(target.option('outputPath') ?? image.outputPath, [...new Set(files)], project),
    metadata: {
      technologies: ['igvm'],
      description: `Builds the IGVM image ${name}`,
      help: { command: 'npx nx-igvm build --help', example: { options: { strict: true } } },
    },
  };
}
