import { dirname, posix } from 'node:path';
import type { NxJsonConfiguration } from 'nx/src/devkit-exports';
import { imageNameInWorkspace } from '../manifest/image-files';
import type { ImageManifest } from './image-manifest';
import type { PluginPlace } from './plugin-inputs';
import type { PluginOptions, TargetKind } from './plugin-options';
import type { ProjectFiles } from './project-files';

/** Where inferred targets are made: a folder of a workspace. */
export interface InferredProject {
  readonly workspaceRoot: string;
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
