import { isAbsolute, resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { logger } from '../../plugin/logger';
import { IgvmError } from '../../errors/igvm-error';
import { shownPath } from '../../files/shown-path';
import type { BootExecutorSchema } from './schema';
import { vmmArguments } from './vmm-arguments';
import { WholeLines } from './whole-lines';

/**
 * Boots an image and ends with its guest. Nx stops a continuous task with SIGTERM, which ends the VM; should Nx or this
 * process be killed outright, the VM ends as well. What the user can put right is logged and fails the task; anything else
 * is a bug and throws.
 */
export default async function bootExecutor(
  { image, vmmPath, vmmArgs = [], __unparsed__ = [], ...options }: BootExecutorSchema,
  { root }: Pick<ExecutorContext, 'root'>,
): Promise<{ success: boolean }> {
  const { bootImage } = require('../../boot/boot-image') as typeof import('../../boot/boot-image');
  const { properties } = require('./schema.json') as { properties: object };
  const { accel, commandLine, cpus, memory, tables, timeout, until, vmm } = options;
  const write = (text: string): void => void process.stdout.write(text);
  const lines = new WholeLines(write);
  // Nx runs this in a process of its own; the channel between them closes when Nx is gone.
  const gone = new AbortController();
  const onDisconnect = (): void => gone.abort();
  process.once('disconnect', onDisconnect);
  try {
    const { failure } = await bootImage({
      image: resolve(root, image),
      label: image,
      vmm,
      vmmPath: vmmPath === undefined ? undefined : programPath(root, vmmPath),
      vmmArgs: [...vmmArgs, ...vmmArguments(__unparsed__, new Set(Object.keys(properties)))],
      accel,
      memory,
      cpus,
      tables,
      commandLine,
      until,
      timeout,
      stdout: process.stdout.isTTY ? write : (text) => lines.take(text),
      stderr: (text) => void process.stderr.write(text),
      signal: gone.signal,
    });
    lines.end();
    if (failure !== undefined) throw failure;
    return { success: true };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format((file) => shownPath(root, file)));
    return { success: false };
  } finally {
    process.off('disconnect', onDisconnect);
  }
}

/** A bare name is looked for in PATH. */
const programPath = (root: string, path: string): string =>
  isAbsolute(path) || !/[\\/]/.test(path) ? path : resolve(root, path);
