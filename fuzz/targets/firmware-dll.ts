import { crc32 } from '../../src/files/hashes';
import { imageInDll, isPortableExecutable } from '../../src/igvm/firmware-dll';
import { dll } from '../../src/igvm/firmware-dll.fixture';
import { fileOf, patternPage, runOf, written } from '../../src/igvm/igvm-file.fixture';
import { readIgvm } from '../../src/igvm/read-igvm';
import type { Target } from '../engine/target';

export const firmwareDll: Target = {
  name: 'firmware-dll',
  about: 'the image in a resource of a DLL',
  format: 'binary',
  dictionary: ['MZ', 'PE\0\0', 'V\0M\0F\0W\0', Uint8Array.of(0x0b, 0x02)],
  async seeds() {
    const image = (await written(fileOf([runOf(0, patternPage(1))]))).bytes.slice();
    return [dll(), dll({ image }), dll({ directoryCount: 3 })];
  },
  run(input) {
    const source = input.source();
    if (isPortableExecutable(source)) readIgvm(imageInDll(source).source, { crc32 });
  },
};
