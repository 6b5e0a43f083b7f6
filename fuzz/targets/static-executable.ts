import { isStaticExecutable } from '../../src/generators/initrd/generator';
import { elfFile } from '../../src/loader/formats/elf.fixture';
import type { Target } from '../engine/target';

export const staticExecutable: Target = {
  name: 'static-executable',
  about: 'programs for a new initramfs, which must not need a dynamic linker',
  format: 'binary',
  dictionary: ['\x7fELF', Uint8Array.of(3, 0, 0, 0)],
  seeds: () => {
    const program = elfFile('x64', 0x1000, [{ address: 0x1000, data: new Uint8Array(16) }]);
    return [program, program.slice(0, 128)];
  },
  run: ({ bytes }) => void isStaticExecutable(bytes),
};
