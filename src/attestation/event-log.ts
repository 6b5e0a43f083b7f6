import { createHash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';

const SHA384 = 0x000c;
/** An event that says something and measures nothing. */
const EV_NO_ACTION = 3;
/** More events than any boot has, and digests an event. */
const MOST_EVENTS = 2 ** 16;
const MOST_DIGESTS = 16;

/** Bytes before the data of the first event: register, type, SHA-1 digest, size of the data. */
const FIRST_HEADER_SIZE = 32;
const SIGNATURE = 'Spec ID Event03\0';

/**
 * Replays the event log of a TDX guest (ACPI's CCEL: TCG PC Client Platform Firmware Profile, 10.2, crypto-agile format; register
 * numbers from Intel's guest-hypervisor communication interface: 0 for MRTD, 1 to 4 for RTMR 0 to 3).
 * @param origin the file's name, for messages
 * @returns the four registers, 48 bytes each, and how many events they got
 * @throws IgvmError EVIDENCE_INVALID
 */
export function replayEventLog(log: Buffer, origin: string): { rtmrs: Buffer[]; events: number } {
  const fail = (message: string): never => {
    throw new IgvmError('EVIDENCE_INVALID', `the event log ${message}`, { file: origin });
  };
  let at = 0;
  const take = (size: number): Buffer => {
    if (log.length - at < size) fail(`ends within an event, at byte ${at}`);
    at += size;
    return log.subarray(at - size, at);
  };
  const first = take(FIRST_HEADER_SIZE);
  const specification = take(first.readUInt32LE(28));
  if (first.readUInt32LE(4) !== EV_NO_ACTION || !specification.toString('latin1').startsWith(SIGNATURE)) {
    fail('does not begin with the event that names its format');
  }
  const sizes = digestSizes(specification) ?? fail('names no digests, or not SHA-384');
  const rtmrs = [0, 1, 2, 3].map(() => Buffer.alloc(48));
  let events = 0;
  while (log.length - at >= 12 && !isEnd(log, at)) {
    if (++events > MOST_EVENTS) fail(`has more than ${MOST_EVENTS} events`);
    const [register, type, count] = [take(4), take(4), take(4)].map((bytes) => bytes.readUInt32LE(0));
    if (count! > MOST_DIGESTS) fail(`has an event with ${count} digests`);
    let digest: Buffer | undefined;
    for (let index = 0; index < count!; index++) {
      const algorithm = take(2).readUInt16LE(0);
      const bytes = take(
        sizes.get(algorithm) ?? fail(`has a digest of an algorithm that it does not name: ${algorithm}`),
      );
      if (algorithm === SHA384) digest = bytes;
    }
    take(take(4).readUInt32LE(0));
    if (type === EV_NO_ACTION || register === 0) continue;
    const rtmr = rtmrs[register! - 1] ?? fail(`measures into register ${register}, which TDX does not have`);
    if (digest === undefined) return fail('has an event without a SHA-384 digest');
    rtmrs[register! - 1] = createHash('sha384').update(rtmr).update(digest).digest();
  }
  return { rtmrs, events };
}

/** Behind the last event there is what firmware filled the area with: ones or zeros. */
function isEnd(log: Buffer, at: number): boolean {
  const next = log.subarray(at, at + 12);
  return next.every((byte) => byte === 0xff) || next.every((byte) => byte === 0);
}

/** Sizes of digests by the numbers of their algorithms. */
function digestSizes(specification: Buffer): ReadonlyMap<number, number> | undefined {
  if (specification.length < 28) return undefined;
  const count = specification.readUInt32LE(24);
  if (count > MOST_DIGESTS || specification.length < 28 + 4 * count) return undefined;
  const sizes = new Map(
    Array.from({ length: count }, (_, index): [number, number] => [
      specification.readUInt16LE(28 + 4 * index),
      specification.readUInt16LE(30 + 4 * index),
    ]),
  );
  return sizes.get(SHA384) === 48 ? sizes : undefined;
}
