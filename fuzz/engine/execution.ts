import { getHeapStatistics, type HeapInfo } from 'node:v8';
import { IgvmError } from '../../src/errors/igvm-error';
import type { AllocationMeter } from './allocation-meter';
import { Input } from './input';
import type { Target } from './target';

/** A rule that an execution broke. */
export type FindingKind = 'error' | 'slow' | 'allocation' | 'heap' | 'outside' | 'stall' | 'hang' | 'out-of-memory';

export interface Finding {
  kind: FindingKind;
  /** For people: message and stack. */
  details: string;
  /** A text that is equal for findings with probably the same cause. */
  signature: string;
}

export interface Limits {
  /** Processor time of one execution, in milliseconds. */
  cpu: number;
  /** Limits for the bytes of buffers and for the growth of the heap: a factor for each byte of input, and a constant. */
  bytesPerByte: number;
  bytesBesides: number;
  /** Milliseconds without progress. Targets don't wait for files or the network. */
  stall: number;
}

/** The limits for a hostile file. */
export const LIMITS: Limits = { cpu: 1000, bytesPerByte: 4, bytesBesides: 64 * 2 ** 20, stall: 5000 };

/** Runs a target once. @returns the rule that it broke; undefined if it broke none */
export async function execute(
  target: Pick<Target, 'run'>,
  bytes: Uint8Array,
  meter: AllocationMeter,
  { cpu, bytesPerByte, bytesBesides, stall }: Limits = LIMITS,
): Promise<Finding | undefined> {
  const input = new Input(bytes);
  const allowed = bytesPerByte * bytes.length + bytesBesides;
  const memoryBefore = getHeapStatistics();
  const cpuBefore = process.cpuUsage();
  meter.start(allowed);
  let thrown: unknown;
  try {
    await orStall(target.run(input), stall);
  } catch (error) {
    thrown = error;
  }
  meter.stop();
  const { user, system } = process.cpuUsage(cpuBefore);
  const milliseconds = (user + system) / 1000;
  const grown = growth(memoryBefore, meter.bytes);
  if (meter.refused !== undefined) return finding('allocation', meter.refused);
  if (input.outside !== undefined) return finding('outside', input.outside);
  if (thrown instanceof Stalled) return finding('stall', thrown);
  const wrong = complaint(thrown);
  if (wrong !== undefined) return finding('error', wrong);
  if (milliseconds > cpu) return { kind: 'slow', details: `${Math.round(milliseconds)} ms`, signature: 'slow' };
  if (grown > allowed) return { kind: 'heap', details: `the heap grew by ${grown} bytes`, signature: 'heap' };
  return undefined;
}

class Stalled extends Error {
  override readonly name = 'Stalled';
}

/** Fails if `running` waits forever. */
async function orStall(running: void | Promise<void>, milliseconds: number): Promise<void> {
  if (running === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Stalled(`no progress for ${milliseconds} ms`)), milliseconds);
  });
  try {
    await Promise.race([running, stalled]);
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes by which heap and native memory grew; `counted` bytes of buffers are native memory, and have their own limit. */
function growth(before: HeapInfo, counted: number): number {
  const after = getHeapStatistics();
  const heap = after.used_heap_size - before.used_heap_size;
  return heap + Math.max(0, after.external_memory - before.external_memory - counted);
}

/** The fault in a thrown value. An error of the product that prints as plain text is not a fault. */
function complaint(thrown: unknown): unknown {
  if (!(thrown instanceof IgvmError)) return thrown;
  try {
    // oxlint-disable-next-line no-control-regex -- control characters must not occur
    const [found] = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.exec(thrown.format()) ?? [];
    return found === undefined ? undefined : new Error(`the message of ${thrown.code} has a control character`);
  } catch (error) {
    return error;
  }
}

function finding(kind: FindingKind, thrown: unknown): Finding {
  const isError = thrown instanceof Error;
  const stack = isError ? (thrown.stack ?? thrown.message) : String(thrown);
  const frames = stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && /[\\/](?:src|node_modules)[\\/]/.test(line));
  const places = frames.slice(0, 2).map((line) => line.replace(/^\s+at (?:async )?/, '').replace(/:\d+:\d+\)?$/, ''));
  const name = isError ? thrown.name : typeof thrown;
  return { kind, details: stack, signature: [kind, name, ...places.map(shortPlace)].join(' ') };
}

/** `function file`, without the folders above src/. */
const shortPlace = (place: string): string => place.replace(/\(?(?:[^()\s]*[\\/])?((?:src|node_modules)[\\/])/, '$1');
