import { isAbsolute, join, resolve } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { imageFileNames } from '../manifest/image-files';
import { readSeparateResources, usedOf } from './image-manifest';
import { type InferredImage, targetName } from './inferred-image';
import { outputFiles } from './output-files';
import { type OwnTarget, optionPath, ownTarget } from './own-target';
import { toSlashes } from './package';
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

/** A file that an option names. */
function optionFile({ project }: InferredImage, value: string): TrackedInputs {
  const written = optionPath(value, project);
  return fileInputs(project.workspaceRoot, resolve(project.workspaceRoot, written), toSlashes(written));
}

/** A separate resources file, and the absolute paths that it names. */
function separateResources(image: InferredImage, value: string): TrackedInputs {
  const { workspaceRoot } = image.project;
  const path = resolve(workspaceRoot, optionPath(value, image.project));
  const files = usedOf(image.manifest, readSeparateResources(path)).filter((file) => typeof file === 'string');
  return combineInputs([
    optionFile(image, value),
    ...files.filter((file) => isAbsolute(file)).map((file) => fileInputs(workspaceRoot, file, file)),
  ]);
}

/** Everything that the image is made of. */
function trackedInputs(image: InferredImage, target: OwnTarget): TrackedInputs {
  const { project, manifest } = image;
  const { workspaceRoot } = project;
  // A separate file is then the only place for resources; with a configuration's, both are.
  const ownResources = target.option('resources') === undefined ? usedOf(manifest, manifest.resources) : [];
  return combineInputs([
    fileInputs(workspaceRoot, join(workspaceRoot, manifest.path), manifest.path),
    ...ownResources.map((resource) => resourceInputs(workspaceRoot, manifest.path, resource)),
    ...target.values('resources').map((value) => separateResources(image, value)),
    ...target.values('loader').map((value) => optionFile(image, value)),
  ]);
}

/** Path of the image that the build target writes, relative to the workspace. */
export function builtImage(image: InferredImage): string {
  const folder = toSlashes(optionPath(own(image).option('outputPath') ?? image.outputPath, image.project));
  return `${folder}/${image.name}.igvm`;
}

export function buildTarget(image: InferredImage): TargetConfiguration {
  const { project, name, path } = image;
  const target = own(image);
  const { inputs, requests, dependsOn } = trackedInputs(image, target);
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
    outputs: outputFiles(
      target.option('outputPath') ?? image.outputPath,
      imageFileNames(name, image.manifest),
      project,
    ),
    metadata: {
      technologies: ['igvm'],
      description: `Builds the IGVM image ${name}`,
      help: { command: 'npx nx-igvm build --help', example: { options: { strict: true } } },
    },
  };
}
