import { isAbsolute, posix, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import type { Compression } from '../initrd/initrd-options';
import type * as LoadInitrd from '../initrd/load-initrd';
import { outputFiles } from './build-target';
import { type InferredProject, outputFolder } from './inferred-image';
import { optionPath, type OwnTarget } from './own-target';
import { readJsonObject } from './read-json';
import { allInputs, combineInputs, fileInputs, folderInputs } from './tracked-inputs';

export const INITRD_EXECUTOR = 'nx-igvm:initrd';

/** An initrd.json as inference reads it: not validated, as a wrong one shall still have its target. */
export interface InitrdFile {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  /** What is packed: relative to the workspace or absolute. */
  readonly folder: string;
  /** Name of the file that is written. */
  readonly output: string;
}

/** @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX */
export function readInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  const { name, folder, compression } = readJsonObject(workspaceRoot, path);
  const { INITRD_NAMES } = require('../initrd/load-initrd') as typeof LoadInitrd;
  const packed = typeof folder === 'string' ? folder : 'rootfs';
  const isKnown = typeof compression === 'string' && Object.hasOwn(INITRD_NAMES, compression);
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    folder: isAbsolute(packed) ? packed : posix.join(posix.dirname(path), packed),
    output: INITRD_NAMES[isKnown ? (compression as Compression) : 'none'],
  };
}

/** What a file says that an option names in place of the one that inference found; a wrong one is the executor's to report. */
function readOtherFile(workspaceRoot: string, path: string): InitrdFile[] {
  try {
    return [readInitrdFile(workspaceRoot, path)];
  } catch {
    return [];
  }
}

/** The target that packs an initramfs. */
export function initrdTarget(project: InferredProject, initrd: InitrdFile, own: OwnTarget): TargetConfiguration {
  const { workspaceRoot, plugin, root } = project;
  const { path, folder } = initrd;
  const others = own
    .values('config')
    .map((value) => optionPath(value, project))
    .filter((other) => other !== path);
  const all = [initrd, ...others.flatMap((other) => readOtherFile(workspaceRoot, other))];
  const tracked = combineInputs([
    ...[path, ...others].map((each) => fileInputs(project, resolve(workspaceRoot, each), each)),
    ...all.map((each) => folderInputs(project, each.folder)),
  ]);
  return {
    executor: INITRD_EXECUTOR,
    cache: true,
    options: { config: path, outputPath: outputFolder(root) },
    inputs: allInputs(plugin, tracked),
    outputs: outputFiles(
      own.option('outputPath') ?? outputFolder(root),
      [...new Set(all.map(({ output }) => output))],
      project,
    ),
    metadata: {
      technologies: ['igvm'],
      description: `Packs ${folder} into an initramfs`,
      help: { command: 'npx nx-igvm initrd --help', example: {} },
    },
  };
}
