import { isAbsolute, posix, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import type { Compression } from '../initrd/initrd-options';
import type * as LoadInitrd from '../initrd/load-initrd';
import { outputFiles } from './build-target';
import { type InferredProject, outputFolder } from './inferred-image';
import { optionPath, type OwnTarget } from './own-target';
import { type Json, readJsonObject } from './read-json';
import { allInputs, combineInputs, fileInputs, folderInputs, NEVER_CACHED } from './tracked-inputs';

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
  /** Why nothing is known of it. Its target is there nevertheless, and says the same. */
  readonly unread?: IgvmError;
}

/** @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX */
export function readInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  return initrdFile(path, readJsonObject(workspaceRoot, path));
}

/** One as far as it can be read: a mistake in it is no reason to stop every command of Nx. */
export function readAnyInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  try {
    return readInitrdFile(workspaceRoot, path);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { ...initrdFile(path, {}), unread: error };
  }
}

function initrdFile(path: string, { name, folder, compression }: Json): InitrdFile {
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

/** The target that packs an initramfs. */
export function initrdTarget(project: InferredProject, initrd: InitrdFile, own: OwnTarget): TargetConfiguration {
  const { workspaceRoot, plugin, root } = project;
  const { path, folder } = initrd;
  const others = own
    .values('config')
    .map((value) => optionPath(value, project))
    .filter((other) => other !== path);
  const all = [initrd, ...others.map((other) => readAnyInitrdFile(workspaceRoot, other))];
  const tracked = combineInputs([
    ...[path, ...others].map((each) => fileInputs(project, resolve(workspaceRoot, each), each)),
    ...all.map((each) => (each.unread === undefined ? folderInputs(project, each.folder) : NEVER_CACHED)),
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
