import { hexRange } from '../errors/hex';
import type { DumpRecord } from '../igvm/dump';

/** A copy of a context's bytes with zeros in place of those that fields are made of. */
export function withoutNamed(
  context: Uint8Array,
  named: Iterable<readonly [offset: number, size: number]>,
): Uint8Array {
  const rest = Uint8Array.from(context);
  for (const [offset, size] of named) rest.fill(0, offset, offset + size);
  return rest;
}

/** So many zeros end a run: a record for each odd byte would make long descriptions of small contexts. */
const GAP = 16;

/** What is left of a context when its fields are shown: its bytes that are not zero, as records of a dump. */
export function unnamedBytes(rest: Uint8Array): DumpRecord[] {
  const records: DumpRecord[] = [];
  for (let at = 0; at < rest.length; at++) {
    if (rest[at] === 0) continue;
    const start = at;
    let end = at + 1;
    for (; at < rest.length && at < end + GAP; at++) if (rest[at] !== 0) end = at + 1;
    records.push({ name: `bytes ${hexRange(start, end)}`, value: rest.slice(start, end) });
  }
  return records;
}
