import { crc32 } from '../../src/files/hashes';
import { HEADER_TYPE } from '../../src/igvm/headers/header-tables';
import { type IgvmFile, PARAMETER_TYPE } from '../../src/igvm/model';
import { readIgvm } from '../../src/igvm/read-igvm';
import type { ByteSource } from '../../src/memory/byte-source';
import type { Input } from '../engine/input';
import type { Target } from '../engine/target';
import { mutateIgvm, repairIgvm } from './igvm-format';
import { igvmSeeds } from './igvm-seeds';

/** The largest input: an image with every header has this size. */
const MOST_BYTES = 48 * 1024;

const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

/** A target that takes `.igvm` files; all of them share a corpus. */
export const igvmTarget = (part: Pick<Target, 'name' | 'about' | 'run'>): Target => ({
  ...part,
  corpus: 'igvm',
  format: 'binary',
  maxSize: MOST_BYTES,
  dictionary: [...Object.values(HEADER_TYPE), ...Object.values(PARAMETER_TYPE)].map(word),
  mutate: mutateIgvm,
  repair: repairIgvm,
  seeds: igvmSeeds,
});

/** The image in an input, as all commands read it. */
export function imageOf(input: Input): { file: IgvmFile; source: ByteSource } {
  const source = input.source();
  return { source, file: readIgvm(source, { crc32 }) };
}
