import type * as TinyCbor from '@levischuck/tiny-cbor' with { 'resolution-mode': 'import' };
import { IgvmError } from '../errors/igvm-error';

// The types of the library are those of its ES module, which a CommonJS file can't import directly.
const library = require('@levischuck/tiny-cbor') as typeof TinyCbor;

export type CborValue = TinyCbor.CBORType;
export type CborTag = TinyCbor.CBORTag;
export type CborMap = Map<string | number, CborValue>;

/** The most levels of nested arrays, maps and tags, because the library is recursive. Signed CoRIMs have about five. */
const DEPTH_LIMIT = 32;

/** The most bytes of a document or signature, as in the corim crate (validate.rs). */
const SIZE_LIMIT = 16 * 2 ** 20;

const MAJOR = { byteString: 2, textString: 3, array: 4, map: 5, tag: 6 } as const;

/** A value with a CBOR tag. */
export const cborTag = (tag: number, value: CborValue): CborTag => new library.CBORTag(tag, value);

export const isCborTag = (value: CborValue): value is CborTag => value instanceof library.CBORTag;

/** A map. For a deterministic encoding (RFC 8949, 4.2.1), the keys must be in ascending order. */
export const cborMap = (...entries: [number, CborValue][]): CborMap => new Map<string | number, CborValue>(entries);

/** Encodes integers and lengths in their shortest form, and maps in their order. */
export const encodeCbor = (value: CborValue): Uint8Array => library.encodeCBOR(value);

/**
 * Decodes one value that fills all of `bytes`.
 * @param what the name of the bytes for messages
 * @throws IgvmError CORIM_SIGNATURE_INVALID when it isn't CBOR, is nested too deeply or too large
 */
export function decodeCbor(bytes: Uint8Array, what: string): CborValue {
  if (bytes.length > SIZE_LIMIT) throw invalid(`${what} is larger than ${SIZE_LIMIT} bytes`);
  checkDepth(bytes, what);
  try {
    // A plain Uint8Array: the library accepts no subclass (Buffer), and reads byte strings from the underlying buffer.
    return library.decodeCBOR(Uint8Array.from(bytes));
  } catch (cause) {
    throw new IgvmError('CORIM_SIGNATURE_INVALID', `${what} is not well-formed CBOR`, {}, { cause });
  }
}

/** Sorts the keys of all maps by their encoding, shorter ones first, as deterministic encoders do. */
export function sortMaps(value: CborValue): CborValue {
  if (isCborTag(value)) return cborTag(Number(value.tag), sortMaps(value.value));
  if (Array.isArray(value)) return value.map(sortMaps);
  if (!(value instanceof Map)) return value;
  const entries = [...value.entries()].map(([key, item]) => ({ key, item, order: encodeCbor(key) }));
  entries.sort((a, b) => a.order.length - b.order.length || Buffer.compare(a.order, b.order));
  return new Map(entries.map(({ key, item }) => [key, sortMaps(item)]));
}

/** Visits the heads of the items without recursion. Stops at malformed data, which the decoder reports itself. */
function checkDepth(bytes: Uint8Array, what: string): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  /** The number of remaining items on each level. */
  const open: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = view.getUint8(at);
    const major = head >> 5;
    const argument = argumentAt(view, at);
    if (argument === undefined) return;
    at += argument.size;
    if (major === MAJOR.byteString || major === MAJOR.textString) at += argument.value;
    const children =
      major === MAJOR.tag ? 1 : major === MAJOR.array ? argument.value : major === MAJOR.map ? 2 * argument.value : 0;
    while (open.length > 0 && open[open.length - 1] === 0) open.pop();
    if (open.length > 0) (open[open.length - 1] as number)--;
    if (children > 0) open.push(children);
    if (open.length > DEPTH_LIMIT) throw invalid(`${what} is nested more than ${DEPTH_LIMIT} levels deep`);
  }
}

/** An item's argument (length, count, value), and the size of its head; undefined when it is cut off or indefinite. */
function argumentAt(view: DataView, at: number): { value: number; size: number } | undefined {
  const short = view.getUint8(at) & 0x1f;
  if (short < 24) return { value: short, size: 1 };
  const size = 2 ** (short - 24);
  if (short > 27 || at + 1 + size > view.byteLength) return undefined;
  const value =
    size === 1
      ? view.getUint8(at + 1)
      : size === 2
        ? view.getUint16(at + 1)
        : size === 4
          ? view.getUint32(at + 1)
          : Number(view.getBigUint64(at + 1));
  return { value, size: 1 + size };
}

const invalid = (message: string): IgvmError => new IgvmError('CORIM_SIGNATURE_INVALID', message);
