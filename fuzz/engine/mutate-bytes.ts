import type { Dictionary } from './dictionary';
import type { Random } from './random';

/** The sources of mutations. */
export interface Material {
  random: Random;
  maxSize: number;
  dictionary: Dictionary;
  /** Another entry of the corpus. */
  other: Uint8Array;
}

type Mutation = (bytes: Uint8Array, material: Material) => Uint8Array;

/** Limits of number types, and adjacent numbers. */
const INTERESTING: Readonly<Record<1 | 2 | 4 | 8, readonly bigint[]>> = {
  1: [0n, 1n, 0x10n, 0x20n, 0x40n, 0x7fn, 0x80n, 0xffn],
  2: [0n, 1n, 0x80n, 0xffn, 0x100n, 0x1000n, 0x7fffn, 0x8000n, 0xffffn],
  4: [0n, 1n, 0xffn, 0xffffn, 0x1_0000n, 0x10_0000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_f000n, 0xffff_ffffn],
  8: [
    0n,
    1n,
    0xffff_ffffn,
    0x1_0000_0000n,
    0x1f_ffff_ffff_ffffn,
    0x20_0000_0000_0000n,
    0xf_ffff_ffff_f000n,
    0x7fff_ffff_ffff_ffffn,
    0x8000_0000_0000_0000n,
    0xffff_ffff_ffff_f000n,
    0xffff_ffff_ffff_ffffn,
  ],
};
const WIDTHS = [1, 2, 4, 8] as const;

/** Any offset; offsets near the start are more frequent, because headers come first. */
const place = (size: number, random: Random): number => (random.oneIn(2) ? random.below(size) : random.small(size));

const copyOf = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);

function putNumber(bytes: Uint8Array, at: number, width: number, value: bigint, isBigEndian: boolean): void {
  for (let index = 0; index < width; index++) {
    bytes[at + (isBigEndian ? width - 1 - index : index)] = Number((value >> BigInt(8 * index)) & 0xffn);
  }
}

function getNumber(bytes: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let index = width - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[at + index] ?? 0);
  return value;
}

/** The range of a number with a random width, mostly naturally aligned; undefined if the input is too short. */
function numberPlace(bytes: Uint8Array, random: Random): { at: number; width: (typeof WIDTHS)[number] } | undefined {
  const width = random.pick(WIDTHS);
  if (bytes.length < width) return undefined;
  const at = place(bytes.length - width + 1, random);
  return { at: random.oneIn(3) ? at : at - (at % width), width };
}

function cut(bytes: Uint8Array, from: number, to: number, between: Uint8Array = new Uint8Array(0)): Uint8Array {
  const result = new Uint8Array(from + between.length + bytes.length - to);
  result.set(bytes.subarray(0, from));
  result.set(between, from);
  result.set(bytes.subarray(to), from + between.length);
  return result;
}

const block = (bytes: Uint8Array, random: Random): [from: number, to: number] => {
  const from = place(bytes.length, random);
  return [from, from + 1 + random.small(bytes.length - from)];
};

const changes: Mutation[] = [
  function flipBit(bytes, { random }) {
    const result = copyOf(bytes);
    const at = place(bytes.length, random);
    if (at < result.length) result[at] = (result[at] as number) ^ (1 << random.below(8));
    return result;
  },
  function setByte(bytes, { random }) {
    const result = copyOf(bytes);
    result[place(bytes.length, random)] = random.below(256);
    return result;
  },
  function interestingNumber(bytes, { random }) {
    const result = copyOf(bytes);
    const found = numberPlace(bytes, random);
    if (found !== undefined) {
      putNumber(result, found.at, found.width, random.pick(INTERESTING[found.width]), random.oneIn(4));
    }
    return result;
  },
  function smallNumber(bytes, { random }) {
    const result = copyOf(bytes);
    const found = numberPlace(bytes, random);
    if (found !== undefined) putNumber(result, found.at, found.width, BigInt(random.small(64)), random.oneIn(4));
    return result;
  },
  function addToNumber(bytes, { random }) {
    const result = copyOf(bytes);
    const found = numberPlace(bytes, random);
    if (found === undefined) return result;
    const { at, width } = found;
    const delta = BigInt(1 + random.below(35)) << BigInt(random.oneIn(3) ? 12 : 0);
    const value = getNumber(result, at, width) + (random.oneIn(2) ? delta : -delta);
    putNumber(result, at, width, BigInt.asUintN(8 * width, value), false);
    return result;
  },
  function sizeOfInput(bytes, { random }) {
    const result = copyOf(bytes);
    const found = numberPlace(bytes, random);
    if (found === undefined) return result;
    const value = BigInt(Math.max(0, bytes.length + random.below(5) - 2 - (random.oneIn(2) ? found.at : 0)));
    putNumber(result, found.at, found.width, value, random.oneIn(4));
    return result;
  },
  function copyBlock(bytes, { random }) {
    const result = copyOf(bytes);
    const [from, to] = block(bytes, random);
    const part = bytes.subarray(from, to);
    result.set(part, random.below(bytes.length - part.length + 1));
    return result;
  },
  function fillBlock(bytes, { random }) {
    const [from, to] = block(bytes, random);
    return copyOf(bytes).fill(random.oneIn(2) ? 0 : random.below(256), from, to);
  },
  function putWord(bytes, { random, dictionary }) {
    if (dictionary.length === 0) return bytes;
    const word = random.pick(dictionary);
    const result = copyOf(bytes);
    if (word.length <= result.length) result.set(word, place(result.length - word.length + 1, random));
    return result;
  },
];

const resizes: Mutation[] = [
  function insertBlock(bytes, { random }) {
    const [from, to] = block(bytes, random);
    const at = place(bytes.length + 1, random);
    return cut(bytes, at, at, copyOf(bytes.subarray(from, to)));
  },
  function insertBytes(bytes, { random }) {
    const at = place(bytes.length + 1, random);
    const size = 1 + random.small(64);
    const value = random.below(256);
    return cut(bytes, at, at, new Uint8Array(size).fill(random.oneIn(2) ? 0 : value));
  },
  function removeBlock(bytes, { random }) {
    const [from, to] = block(bytes, random);
    return cut(bytes, from, Math.min(to, bytes.length));
  },
  function truncate(bytes, { random }) {
    return copyOf(bytes.subarray(0, bytes.length - Math.min(bytes.length, 1 + random.small(bytes.length))));
  },
  function insertWord(bytes, { random, dictionary }) {
    if (dictionary.length === 0) return bytes;
    const at = place(bytes.length + 1, random);
    return cut(bytes, at, at, random.pick(dictionary));
  },
  function splice(bytes, { random, other }) {
    return cut(other, 0, place(other.length + 1, random), bytes.subarray(0, place(bytes.length + 1, random)));
  },
  function takeBlock(bytes, { random, other }) {
    if (other.length === 0) return bytes;
    const [from, to] = block(other, random);
    const at = place(bytes.length + 1, random);
    return cut(bytes, at, random.oneIn(2) ? at : Math.min(bytes.length, at + to - from), other.subarray(from, to));
  },
];

/** Changes bytes once or several times, and returns at most `maxSize` of them. */
export function mutateBytes(bytes: Uint8Array, material: Material): Uint8Array {
  const { random, maxSize } = material;
  let result = bytes;
  for (let left = 1 << random.small(6); left > 0; left--) {
    const mutations = random.oneIn(4) || result.length === 0 ? resizes : changes;
    result = random.pick(mutations)(result, material).subarray(0, maxSize);
  }
  return result;
}
