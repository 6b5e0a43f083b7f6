import { crc32 } from '../../src/files/hashes';
import { diffImages } from '../../src/diff/diff-images';
import { diffMarkdown, diffText } from '../../src/diff/diff-text';
import { readIgvm } from '../../src/igvm/read-igvm';
import type { Random } from '../engine/random';
import type { Target } from '../engine/target';
import { mutateIgvm, repairIgvm } from './igvm-format';
import { igvmSeeds } from './igvm-seeds';
import { igvmTarget } from './igvm-target';
import { expectPlainText } from './plain-text';

/** Two images as one input: the size of the first (u32), the first, the second. */
const SIZE_BYTES = 4;

function split(pair: Uint8Array): [Uint8Array, Uint8Array] {
  if (pair.length < SIZE_BYTES) return [pair.subarray(0, 0), pair];
  const size = new DataView(pair.buffer, pair.byteOffset, pair.length).getUint32(0, true);
  const end = SIZE_BYTES + Math.min(size, pair.length - SIZE_BYTES);
  return [pair.subarray(SIZE_BYTES, end), pair.subarray(end)];
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const pair = new Uint8Array(SIZE_BYTES + a.length + b.length);
  new DataView(pair.buffer).setUint32(0, a.length, true);
  pair.set(a, SIZE_BYTES);
  pair.set(b, SIZE_BYTES + a.length);
  return pair;
}

/** Changes one of the two, or replaces it by a changed copy of the other. */
function mutatePair(pair: Uint8Array, random: Random): Uint8Array {
  const [a, b] = split(pair);
  if (random.oneIn(4)) return join(a, mutateIgvm(a, random));
  return random.oneIn(2) ? join(mutateIgvm(a, random), b) : join(a, mutateIgvm(b, random));
}

function repairPair(pair: Uint8Array): void {
  for (const image of split(pair)) repairIgvm(image);
}

export const igvmDiff: Target = {
  ...igvmTarget({
    name: 'igvm-diff',
    about: 'the comparison of two images',
    async run(input) {
      const [a, b] = split(input.bytes).map((bytes) => {
        const source = input.source(bytes);
        return { source, file: readIgvm(source, { crc32 }) };
      });
      if (a === undefined || b === undefined) return;
      const difference = await diffImages(a, b);
      JSON.stringify(difference);
      expectPlainText(diffText(difference));
      expectPlainText(diffMarkdown(difference, ['a', 'b']));
    },
  }),
  corpus: 'igvm-diff',
  maxSize: 64 * 1024,
  mutate: mutatePair,
  repair: repairPair,
  async seeds() {
    const small = (await igvmSeeds()).filter(({ length }) => length < 20_000);
    return small.map((image, index) => join(image, small[(index + 1) % small.length] ?? image));
  },
};
