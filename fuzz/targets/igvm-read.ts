import { crc32 } from '../../src/files/hashes';
import { readIgvm } from '../../src/igvm/read-igvm';
import { validateIgvm } from '../../src/igvm/validate';
import { igvmTarget } from './igvm-target';

export const igvmRead = igvmTarget({
  name: 'igvm-read',
  about: 'the reader of .igvm files, and the rules of the format',
  run(input) {
    validateIgvm(readIgvm(input.source(), { crc32, validate: false }));
  },
});
