import { posix } from 'node:path';
import { joinPathFragments, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import type { Resource } from '../../manifest/model';
import { toSlashes } from '../../plugin/tracked-inputs';

/**
 * A path whose special characters are meant as they are, in a place of the manifest where a glob could stand. (Nx's patterns are
 * another language, which has the same ones: plugin/tracked-inputs.ts.)
 */
export function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]{}()!]/g, '\\$&');
}

/**
 * What the manifest says of a binary given on the command line.
 * - `PROJECT:TARGET:PATH`: the output of another target;
 * - an absolute path, or one with `{workspaceRoot}/`: as it is;
 * - a path from the workspace root, when there is such a file: relative to the manifest inside the image's folder,
 *   `{workspaceRoot}/…` outside;
 * - any other path: relative to the manifest, for a binary that is yet to come.
 * @param root the image's folder
 * @throws IgvmError GENERATOR_OPTION
 */
export function resourceOption(tree: Tree, root: string, option: string, value: string): Resource {
  const path = toSlashes(value.trim());
  if (path === '') {
    throw new IgvmError('GENERATOR_OPTION', `${option} is empty`);
  }
  const output = /^([^:/]+):([^:/]+):(.+)$/.exec(path);
  if (output !== null) {
    return { project: output[1] as string, target: output[2] as string, path: output[3] as string };
  }
  if (posix.isAbsolute(path) || /^[A-Za-z]:\//.test(path)) {
    return escapeGlob(path);
  }
  if (path.startsWith('{workspaceRoot}/')) {
    return path;
  }
  const fromRoot = posix.normalize(path);
  if (fromRoot.startsWith('../') || !tree.exists(fromRoot)) {
    if (/^[^:/]+:[^:/]*$/.test(path)) {
      throw new IgvmError('GENERATOR_OPTION', `${option} "${value}" is neither a file nor PROJECT:TARGET:PATH`);
    }
    return path;
  }
  return inWorkspace(root, fromRoot);
}

/** A file of the workspace as the manifest of the image in `root` names it. */
export function inWorkspace(root: string, file: string): string {
  const prefix = joinPathFragments(root, '/');
  return file.startsWith(prefix) ? escapeGlob(file.slice(prefix.length)) : `{workspaceRoot}/${escapeGlob(file)}`;
}
