import { join, posix } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { imageFileNames } from '../manifest/image-files';
import { buildName, builtImage } from './build-target';
import type { InferredImage } from './inferred-image';
import { optionFile, type OwnTarget, optionPath } from './own-target';
import { runtimeInput } from './plugin-inputs';
import { combineInputs, escapeGlob, fileInputs, type TrackedInputs } from './resource-inputs';

/** The files of a build, the image first; paths relative to the workspace. */
export function builtFiles(image: InferredImage): string[] {
  const path = builtImage(image);
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  return imageFileNames(image.name, image.manifest).map((name) => folder + name);
}

/**
 * The files of images that a target's options name in place of the built one.
 * @param most of each, the image first and its map next
 */
export function namedImages(image: InferredImage, target: OwnTarget, most = Number.POSITIVE_INFINITY): TrackedInputs[] {
  const { project, manifest } = image;
  const paths = target.values('image').map((value) => optionPath(value, project));
  return paths
    .filter((path) => path !== builtImage(image))
    .flatMap((path) => {
      const siblings = imageFileNames(posix.basename(path, '.igvm'), manifest).slice(2);
      const all = [path, `${path}.map`, ...siblings.map((name) => posix.join(posix.dirname(path), name))];
      return all.slice(0, most).map((file) => optionFile(file, project));
    });
}

/** A file of the workspace that is no output of a target. @param path relative to the workspace */
export const sourceFile = ({ project: { workspaceRoot } }: InferredImage, path: string): TrackedInputs =>
  fileInputs(workspaceRoot, join(workspaceRoot, path), path);

/**
 * What a target declares that reads the image: it runs behind the build, and again when a file of the build changes. Without
 * a build target the files are taken as they are.
 * @param files those of {@link builtFiles} that it reads
 * @param others further files that it reads
 */
export function readsImage(
  image: InferredImage,
  files: readonly string[],
  others: readonly TrackedInputs[] = [],
): Pick<TargetConfiguration, 'dependsOn' | 'inputs'> {
  const { plugin } = image.project;
  const build = buildName(image);
  const built = build === undefined ? files.map((file) => sourceFile(image, file)) : [];
  const { inputs, requests } = combineInputs([...built, ...others]);
  return {
    ...(build === undefined ? {} : { dependsOn: [build] }),
    inputs: [
      ...(build === undefined ? [] : files.map((file) => ({ dependentTasksOutputFiles: escapeGlob(file) }))),
      ...inputs,
      ...runtimeInput(plugin, [...requests, ...plugin.requests]),
      ...plugin.inputs,
    ],
  };
}
