import { basename, isAbsolute } from 'node:path';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { BootOptions } from '../cli/commands/boot';
import { IgvmError } from '../errors/igvm-error';
import { nearest } from '../manifest/unknown-keys';
import { asTask, type TargetOptions, type TaskResult } from './as-task';
import { checkTarget, type TargetContext, targetOf, type TaskContext } from './check-target';

/** Options of `nx-igvm:boot`, which schemas/boot.json describes. Paths are relative to the workspace. */
interface BootTaskOptions extends BootOptions, TargetOptions {
  /** The arguments of the command line, as Nx passes them on. */
  __unparsed__?: string[];
}

/**
 * `nx-igvm:boot` boots an image and ends with its guest. Nx stops a continuous task with SIGTERM, which ends the VM. The VM also ends
 * when Nx or this process is killed outright.
 */
export default async function bootExecutor(
  options: BootTaskOptions,
  context: TargetContext & TaskContext,
): Promise<TaskResult> {
  const { boot } = require('../cli/commands/boot') as typeof import('../cli/commands/boot');
  const lines = process.stdout.isTTY ? undefined : new WholeLines(process.stdout);
  // Nx runs this in a process of its own. The channel between the two closes when Nx is gone.
  const gone = new AbortController();
  const onDisconnect = (): void => gone.abort();
  process.once('disconnect', onDisconnect);
  try {
    return await asTask(context, async (caller) => {
      checkTarget(context, targetOf(context), options);
      const { ownKeys: _, __unparsed__: __, vmmPath, ...given } = options;
      const request = {
        ...given,
        vmmPath: vmmPath === undefined || isNameInPath(vmmPath) ? vmmPath : caller.at(vmmPath),
        vmmArgs: argumentsOf(options),
      };
      const console = { stdin: process.stdin, stdout: lines ?? process.stdout };
      try {
        await boot(request, caller, console, gone.signal);
      } finally {
        await end(lines);
      }
    });
  } finally {
    process.off('disconnect', onDisconnect);
    // Nx ends this process at once, along with everything that a pipe has not taken yet.
    await Promise.all([process.stdout, process.stderr].map(written));
  }
}

/** Whether a program is named alone, so that PATH has it. */
const isNameInPath = (program: string): boolean => !isAbsolute(program) && !/[\\/]/.test(program);

function argumentsOf({ vmm, vmmPath, vmmArgs = [], __unparsed__ = [] }: BootTaskOptions): string[] {
  const { properties } = require('./schemas/boot.json') as { properties: object };
  const takesLongOptions = (vmm ?? basename(vmmPath ?? '')).startsWith('cloud-hypervisor');
  return [...vmmArgs, ...vmmArguments(__unparsed__, Object.keys(properties), { takesLongOptions })];
}

/** Writes what is left. The last line of a guest that has crashed usually has no newline. */
async function end(output: Writable | undefined): Promise<void> {
  if (output === undefined || output.writableEnded) return;
  output.end();
  await finished(output);
}

const written = (stream: Writable): Promise<void> => new Promise((resolve) => stream.write('', () => resolve()));

/** Nx's own options that it leaves among a target's arguments. */
const NX_OPTIONS: ReadonlySet<string> = new Set(['verbose']);

/**
 * The arguments of `nx boot PROJECT …` that are for the VMM: all except the executor's options and their values. Nx passes the command
 * line on without its `--`, so position doesn't distinguish them.
 * @param options names of the executor's options, each of which takes a value
 * @param takesLongOptions whether the VMM's own options begin with two dashes, as Cloud Hypervisor's do
 * @throws IgvmError BOOT_OPTION for what can only be a misspelt option. Ignoring it would boot something else than requested.
 */
export function vmmArguments(
  args: readonly string[],
  options: readonly string[],
  { takesLongOptions = false } = {},
): string[] {
  const rest: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    const [, name, value] = /^--([A-Za-z][\w-]*)(=.*)?$/s.exec(arg) ?? [];
    if (name === undefined) {
      rest.push(arg);
    } else if (options.includes(camelCase(name)) || NX_OPTIONS.has(name)) {
      const takesNext = value === undefined && !NX_OPTIONS.has(name);
      if (takesNext && args[index + 1]?.startsWith('-') === false) index++;
    } else {
      const guess = nearest(camelCase(name), options);
      if (guess !== undefined || !takesLongOptions) throw misspelt(name, guess);
      rest.push(arg);
    }
  }
  return rest;
}

function misspelt(name: string, guess: string | undefined): IgvmError {
  const cure =
    guess === undefined
      ? "; QEMU's own options are written with one dash, and those of Cloud Hypervisor are passed on with --vmm=cloud-hypervisor"
      : `; did you mean "--${kebabCase(guess)}"?`;
  return new IgvmError('BOOT_OPTION', `nx-igvm:boot has no option "--${name}"${cure}`);
}

const camelCase = (name: string): string => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Milliseconds after which a line without a newline is considered a prompt, and shown. */
const PROMPT_AFTER = 500;

const NEWLINE = 0x0a;

/**
 * Passes bytes on in whole lines. Without a terminal, Nx ends a line wherever a chunk of output ends, and the chunks of a serial
 * console have any length. At the end, the rest is passed on as well.
 */
export class WholeLines extends Writable {
  private readonly pending: Buffer[] = [];
  private timer: NodeJS.Timeout | undefined;

  /** @param target stays open */
  constructor(private readonly target: Writable) {
    super();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    clearTimeout(this.timer);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    const lines = end === 0 ? [] : [...this.pending.splice(0), bytes.subarray(0, end)];
    if (end < bytes.length) {
      this.pending.push(bytes.subarray(end));
      this.timer = setTimeout(() => this.handOn(this.pending.splice(0)), PROMPT_AFTER);
    }
    this.handOn(lines, done);
  }

  override _final(done: () => void): void {
    clearTimeout(this.timer);
    this.handOn(this.pending.splice(0), done);
  }

  private handOn(pieces: readonly Buffer[], done: () => void = () => undefined): void {
    if (pieces.length === 0 || this.target.write(Buffer.concat(pieces))) done();
    else this.target.once('drain', done);
  }
}
