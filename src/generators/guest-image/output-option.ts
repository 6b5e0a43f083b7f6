import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { getProjects, joinPathFragments, type ProjectGraph, readJson, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { INITRD_NAMES } from '../../initrd/load-initrd';
import type { OutputReference } from '../../resources/resource-reference';
import { outputFolder } from '../../plugin/inferred-image';
import { workspaceNx } from '../../plugin/workspace-nx';
import { INITRD_EXECUTOR } from '../../plugin/inferred-targets';
import { checkOutputReference, didYouMean, type OutputContext, outputsOf } from '../../plugin/output-references';

/** A user's reference to the output of another target. */
interface WrittenOutput {
  project: string;
  target?: string;
  path?: string;
}

/** `PROJECT`, `PROJECT:TARGET` or `PROJECT:TARGET:PATH`. A name may have a scope. A letter before `:/` is a Windows drive. */
export function parseOutputOption(value: string): WrittenOutput | undefined {
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
export async function outputContext(tree: Tree): Promise<OutputContext> {
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
export function resolveOutput(
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
    throw new IgvmError('NX_TARGET_UNKNOWN', `${option}: there is no project and no file "${project}"${hint}`);
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
