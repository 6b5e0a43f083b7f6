import { authenticodeSha256 } from '../../src/uki/pe';
import { peFile, ukiFile } from '../../src/uki/uki.fixture';
import { isUki, readUki, ukiSection, ukiText } from '../../src/uki/uki';
import { readAll } from '../../src/memory/byte-source';
import type { Target } from '../engine/target';

const KERNEL = new Uint8Array(600).fill(0xcc);

export const uki: Target = {
  name: 'uki',
  about: 'EFI programs: sections of UKIs and their texts, Authenticode digests',
  format: 'binary',
  dictionary: ['MZ', 'PE\0\0', '.linux', '.initrd', '.cmdline', '.osrel', '.profile', Uint8Array.of(0x0b, 0x02)],
  seeds: () => [
    ukiFile({ '.osrel': 'PRETTY_NAME="a"\n', '.cmdline': 'quiet', '.linux': KERNEL, '.initrd': KERNEL }),
    peFile([
      { name: '.cmdline', content: 'a\0' },
      { name: '.linux', content: KERNEL, header: { virtualSize: 0x100_0000 } },
      { name: '.profile', content: 'ID=b' },
      { name: '.cmdline', content: 'c' },
    ]),
    peFile([{ name: '.text', content: KERNEL }]),
  ],
  run(input) {
    const program = input.source();
    const isOne = isUki(program);
    let failure: unknown;
    try {
      authenticodeSha256(program);
    } catch (error) {
      failure = error;
    }
    if (isOne) {
      const found = readUki(program);
      for (const section of found.sections) {
        ukiText(program, section);
        const content = ukiSection(program, found, section.name);
        if (content === undefined) throw new Error(`${section.name} is listed, but cannot be read`);
        readAll(content, program.size);
      }
    }
    if (failure !== undefined) throw failure;
  },
};
