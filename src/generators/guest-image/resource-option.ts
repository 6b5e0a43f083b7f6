import { existsSync } from 'node:fs';
import { join, posix, resolve } from 'node:path';
import { getProjects, joinPathFragments, type ProjectGraph, readJson, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { INITRD_NAMES } from '../../initrd/load-initrd';
import type { Resource } from '../../manifest/model';
import { outputFolder } from '../../plugin/inferred-image';
import { INITRD_EXECUTOR } from '../../plugin/inferred-targets';
import { checkOutputReference, didYouMean, type OutputContext, outputsOf } from '../../plugin/output-references';
import { toSlashes } from '../../plugin/tracked-inputs';
import { logger, workspaceNx } from '../../plugin/workspace-nx';
import { nearNames, unexpanded } from '../../resources/resolve-resources';
import type { OutputReference } from '../../resources/resource-reference';

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

/** A user's reference to the output of another target. */
interface WrittenOutput {
  project: string;
  target?: string;
  path?: string;
}

/** `PROJECT`, `PROJECT:TARGET` or `PROJECT:TARGET:PATH`. A name may have a scope. A letter before `:/` is a Windows drive. */
function parseOutputOption(value: string): WrittenOutput | undefined {
  const match = /^((?:@[^:/\s]+\/)?[^:/\s]+)(?::([^:/\s]+)(?::(.+))?)?$/.exec(value);
  if (match === null) return undefined;
  const [, project = '', target, path] = match;
  return { project, ...(target === undefined ? {} : { target }), ...(path === undefined ? {} : { path }) };
}

/** A target's name may contain colons, such as `docker:build`. The longest match with a target counts. */
function targetAndPath(
  target: string | undefined,
  path: string | undefined,
  names: readonly string[],
): [target: string | undefined, path: string | undefined] {
  if (target === undefined || path === undefined) return [target, path];
  const written = `${target}:${path}`;
  const fitting = names.filter((name) => written === name || written.startsWith(`${name}:`));
  const [longest] = fitting.sort((a, b) => b.length - a.length);
  if (longest === undefined) return [target, path];
  return [longest, written === longest ? undefined : written.slice(longest.length + 1)];
}

/** The projects of the workspace with all their targets, including new ones in the tree. */
async function outputContext(tree: Tree): Promise<OutputContext> {
  const { root } = tree;
  // In tests and dry runs of other generators, the tree is not a workspace on disk.
  const known: ProjectGraph['nodes'] = existsSync(join(root, 'nx.json'))
    ? (await workspaceNx(root).createProjectGraphAsync({ exitOnError: false })).nodes
    : {};
  const nodes = { ...known };
  for (const [name, data] of getProjects(tree)) {
    if (Object.hasOwn(nodes, name)) continue;
    const targets = { ...initrdTargets(tree, data.root), ...data.targets };
    nodes[name] = { type: 'app', name, data: { ...data, targets } };
  }
  return { root, projectGraph: { nodes, dependencies: {} } };
}

/** The targets that will be inferred for an initrd.json that is only in the tree. */
function initrdTargets(tree: Tree, root: string): ProjectGraph['nodes'][string]['data']['targets'] {
  const file = joinPathFragments(root, 'initrd.json');
  if (!tree.exists(file)) return {};
  const { compression = 'none' } = readJson<{ compression?: keyof typeof INITRD_NAMES }>(tree, file);
  const outputs = [`{workspaceRoot}/${outputFolder(root)}/${INITRD_NAMES[compression]}`];
  return { [initrdTargetName(tree, root)]: { executor: INITRD_EXECUTOR, outputs } };
}

/** The name of the target that packs an initramfs. If the folder has an image, `build` is that image's target. */
export const initrdTargetName = (tree: Tree, root: string): 'build' | 'initrd' =>
  tree.children(root).some((name) => name === 'igvm.json' || name.endsWith('.igvm.json')) ? 'initrd' : 'build';

/**
 * The file of another target that an option refers to. The defaults are the project's target that packs an initramfs, or else its
 * `build`, and the target's only file.
 * @returns undefined for a single word that is not a project, which may be a file that doesn't exist yet
 * @throws IgvmError NX_TARGET_UNKNOWN, NX_OUTPUT_UNDECLARED, GENERATOR_OPTION
 */
function resolveOutput(
  context: OutputContext,
  option: string,
  { project, target, path }: WrittenOutput,
): OutputReference | undefined {
  const { nodes } = context.projectGraph;
  const targets = Object.hasOwn(nodes, project) ? nodes[project]?.data.targets : undefined;
  [target, path] = targetAndPath(target, path, Object.keys(targets ?? {}));
  if (target === undefined && targets === undefined) {
    const hint = didYouMean(project, Object.keys(nodes));
    if (hint === '') return undefined;
    throw new IgvmError('NX_TARGET_UNKNOWN', `${option}: there is no project or file "${project}"${hint}`);
  }
  const packing = Object.entries(targets ?? {}).find(([, { executor }]) => executor === INITRD_EXECUTOR);
  const chosen = target ?? packing?.[0] ?? 'build';
  const reference = { kind: 'output', project, target: chosen, path: path ?? '' } as const;
  try {
    if (path !== undefined) {
      checkOutputReference(context, reference);
      return reference;
    }
    // The path doesn't matter: only the project and the target are checked.
    const outputs = outputsOf(context, project, chosen);
    const [only = ''] = outputs;
    checkOutputReference(context, { ...reference, path: only });
    if (outputs.length === 1 && isFile(only)) return { ...reference, path: only };
    const found = outputs.length === 0 ? 'no outputs' : outputs.join(', ');
    throw new IgvmError(
      'GENERATOR_OPTION',
      `${project}:${chosen} declares ${found}: write ${project}:${chosen}:PATH for the file among them`,
      {},
      { saysAll: true },
    );
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    throw new IgvmError(error.code, `${option}: ${error.message}`, error.where, { saysAll: true });
  }
}

/** Whether an output is recognizable as a file: it has an extension, or a usual name of kernels. */
const isFile = (output: string): boolean => {
  const name = output.slice(output.lastIndexOf('/') + 1);
  return !/[*?[\]{}()!\\]/.test(output) && (/[^.]\.\w/.test(name) || /^(?:vmlinu[xz]|b?zImage|Image)/.test(name));
};
