import { existsSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { joinPathFragments, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { Resource } from '../../manifest/model';
import { nearNames, unexpanded } from '../../resources/resolve-resources';
import { logger } from '../../plugin/workspace-nx';
import { toSlashes } from '../../plugin/tracked-inputs';
import type { OutputContext } from '../../plugin/output-references';
import { outputContext, parseOutputOption, resolveOutput } from './output-option';

/**
 * Escapes a path for a place in the manifest that accepts a glob. (Nx's patterns are another language with the same special
 * characters: plugin/tracked-inputs.ts.)
 */
export function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]{}()!]/g, '\\$&');
}

const isAbsolute = (path: string): boolean => posix.isAbsolute(path) || /^[A-Za-z]:\//.test(path);

/** Reads the options that name a binary. Projects are looked up once, and only if an option may name one. */
export class ResourceOptions {
  private context: Promise<OutputContext> | undefined;

  /** @param root the image's folder */
  constructor(
    private readonly tree: Tree,
    private readonly root: string,
  ) {}

  /**
   * Converts an option that names a binary to a resource for the manifest.
   * - a path from the workspace root, when there is such a file: relative to the manifest inside the image's folder,
   *   `{workspaceRoot}/…` outside;
   * - an absolute path, or one with `{workspaceRoot}/`: as it is;
   * - `PROJECT`, `PROJECT:TARGET` or `PROJECT:TARGET:PATH`: the output of another target;
   * - an `https` or `http` URL, with `#MEMBER` for a file in an archive: downloaded, and pinned to its digest;
   * - any other path: relative to the manifest, for a binary that doesn't exist yet.
   * Files that don't exist yet are named in a warning.
   * @throws IgvmError GENERATOR_OPTION, NX_TARGET_UNKNOWN, NX_OUTPUT_UNDECLARED; DOWNLOAD_FAILED, DOWNLOAD_REFUSED, ARCHIVE_INVALID,
   *   ARCHIVE_MEMBER
   */
  async read(option: string, value: string): Promise<Resource> {
    const { tree, root } = this;
    if (/^https?:\/\//i.test(value.trim())) return await fromUrl(option, value.trim(), tree.root);
    const path = toSlashes(value.trim());
    if (path === '') throw new IgvmError('GENERATOR_OPTION', `${option} is empty`);
    const shell = unexpanded(path);
    if (shell !== undefined) {
      throw new IgvmError('GENERATOR_OPTION', `${option} "${value}": ${shell}`, {}, { saysAll: true });
    }
    if (isAbsolute(path)) {
      if (!existsSync(path)) warnOfMissing(option, path, nearNames(path));
      return escapeGlob(path);
    }
    if (path.startsWith('{workspaceRoot}/')) {
      const inside = path.slice('{workspaceRoot}/'.length);
      if (!/[*?[\]{}()!\\]/.test(inside) && !tree.exists(inside)) {
        warnOfMissing(option, inside, nearNames(resolve(tree.root, inside)));
      }
      return path;
    }
    const fromRoot = posix.normalize(path);
    if (!fromRoot.startsWith('../') && tree.exists(fromRoot) && tree.isFile(fromRoot))
      return inWorkspace(root, fromRoot);
    const output = parseOutputOption(path);
    if (output !== undefined) {
      const reference = resolveOutput(await (this.context ??= outputContext(tree)), option, output);
      if (reference !== undefined) {
        return { project: reference.project, target: reference.target, path: reference.path };
      }
    }
    const inFolder = joinPathFragments(root, fromRoot);
    if (!tree.exists(inFolder)) warnOfMissing(option, inFolder, nearNames(resolve(tree.root, fromRoot)));
    return path;
  }
}

/** Downloads a URL, and pins the resource to the current content. */
async function fromUrl(option: string, value: string, cwd: string): Promise<Resource> {
  const { downloadDisplay } = require('../../cli/commands/fetch') as typeof import('../../cli/commands/fetch');
  const { fetchUnpinned } = require('../../resources/downloads') as typeof import('../../resources/downloads');
  const { parseUrl, shownUrl, withoutPassword } =
    require('../../resources/resource-reference') as typeof import('../../resources/resource-reference');
  const [text = '', ...fragment] = value.split('#');
  const member = fragment.join('#');
  const url = parseUrl(text);
  const open = withoutPassword(url);
  if (open !== url.href) logger.warn(`${option}: the password of ${shownUrl(url)} is left out of the manifest`);
  const named = { url: text, ...(member === '' ? {} : { member }) };
  const note = (line: string): void => logger.info(line);
  const shown = downloadDisplay({}, { folder: cwd, isInteractive: process.stderr.isTTY === true, note });
  const { sha256 } = await fetchUnpinned(named, shown).finally(() => shown.stop());
  return { ...named, url: open, sha256 };
}

function warnOfMissing(option: string, path: string, near = ''): void {
  logger.warn(`${option}: ${printable(path)} does not exist yet${near}; the build needs it`);
}

/** The path of a workspace file in the manifest of the image in `root`. */
export function inWorkspace(root: string, file: string): string {
  const prefix = joinPathFragments(root, '/');
  return file.startsWith(prefix) ? escapeGlob(file.slice(prefix.length)) : `{workspaceRoot}/${escapeGlob(file)}`;
}
