import { basename, isAbsolute, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { logger } from '../../plugin/logger';
import { IgvmError } from '../../errors/igvm-error';
import { messageSink } from '../../errors/printable';
import { shownPath } from '../../files/shown-path';
import { checkTarget, type TargetContext } from '../check-target';
import { type TaskContext, targetOf } from '../tracked-options';
import type { BootExecutorSchema } from './schema';
import { vmmArguments } from './vmm-arguments';
import { WholeLines } from './whole-lines';

/**
 * Boots an image and ends with its guest. Nx stops a continuous task with SIGTERM, which ends the VM; should Nx or this
 * process be killed outright, the VM ends as well. What the user can put right is logged and fails the task; anything else
 * is a bug and throws.
 */
export default async function bootExecutor(
  options: BootExecutorSchema,
  context: TargetContext & TaskContext,
): Promise<{ success: boolean }> {
  const { root } = context;
  const { bootImage } = require('../../boot/boot-image') as typeof import('../../boot/boot-image');
  const { accel, commandLine, cpus, image, memory, tables, timeout, until, vmm, vmmPath, way } = options;
  const { LogOutput } = require('../../boot/log-output') as typeof import('../../boot/log-output');
  const lines = process.stdout.isTTY ? undefined : new WholeLines(process.stdout);
  const output = lines === undefined ? undefined : new LogOutput(lines);
  const messages = messageSink((text) => void process.stderr.write(text), process.stderr.isTTY);
  // Nx runs this in a process of its own; the channel between them closes when Nx is gone.
  const gone = new AbortController();
  const onDisconnect = (): void => gone.abort();
  process.once('disconnect', onDisconnect);
  try {
    checkTarget(context, targetOf(context), options);
    const vmmArgs = argumentsOf(options);
    const { failure } = await bootImage({
      image: resolve(root, image),
      vmm,
      vmmPath: vmmPath === undefined ? undefined : programPath(root, vmmPath),
      vmmArgs,
      way,
      accel,
      memory,
      cpus,
      tables,
      commandLine,
      until,
      timeout,
      stdin: process.stdin,
      stdout: output ?? process.stdout,
      stderr: messages.add,
      signal: gone.signal,
    });
    await output?.finish();
    await end(lines);
    messages.end();
    if (failure !== undefined) throw failure;
    return { success: true };
  } catch (error) {
    await output?.finish();
    await end(lines);
    messages.end();
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format((file) => shownPath(root, file)));
    return { success: false };
  } finally {
    process.off('disconnect', onDisconnect);
    // Nx ends this process at once, with what a pipe has not taken yet.
    await Promise.all([process.stdout, process.stderr].map(written));
  }
}

function argumentsOf({ vmm, vmmPath, vmmArgs = [], __unparsed__ = [] }: BootExecutorSchema): string[] {
  const { properties } = require('./schema.json') as { properties: object };
  const takesLongOptions = (vmm ?? basename(vmmPath ?? '')).startsWith('cloud-hypervisor');
  return [...vmmArgs, ...vmmArguments(__unparsed__, Object.keys(properties), { takesLongOptions })];
}

/** Shows what is left: the last line of a guest that has crashed, most often, has no end. */
async function end(output: Writable | undefined): Promise<void> {
  if (output === undefined || output.writableEnded) return;
  output.end();
  await finished(output);
}

const written = (stream: Writable): Promise<void> => new Promise((resolve) => stream.write('', () => resolve()));

/** A bare name is looked for in PATH. */
const programPath = (root: string, path: string): string =>
  isAbsolute(path) || !/[\\/]/.test(path) ? path : resolve(root, path);
