import { diffImages } from '../diff/diff-images';
import { diffText } from '../diff/diff-text';
import { crc32, sha256Hex } from '../files/checksum';
import type { IgvmFile } from '../igvm/model';
import { countingSource } from '../igvm/igvm-file.fixture';
import { readIgvm } from '../igvm/read-igvm';
import { memorySink } from '../igvm/file-data';
import { streamDirectives } from '../igvm/stream';
import { writeIgvm } from '../igvm/write-igvm';
import { ovmfFirmware } from '../loader/ovmf/ovmf-firmware.fixture';
import { addPrograms } from '../loader/ovmf/update';
import { wrapFirmware } from '../loader/ovmf/wrap';
import { type ByteSource, bytesSource, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { guestMemory } from '../regions/guest-pages';
import { ukiFile } from '../uki/uki.fixture';
import { ukiFacts, UkiSections } from './uki-facts';

const KERNEL = Buffer.alloc(9000, 1);
const INITRD = Buffer.concat([Buffer.alloc(9000, 2), Buffer.alloc(9000)]);
const uki = (more: Record<string, Uint8Array | string> = {}): Buffer =>
  ukiFile({ '.osrel': 'ID=test\n', '.cmdline': 'quiet', '.linux': KERNEL, '.initrd': INITRD, ...more });

async function imageOf(programs: { kernel?: Uint8Array; shim?: Uint8Array }): Promise<ImageBytes> {
  const firmware = bytesSource(ovmfFirmware());
  const wrapped = wrapFirmware({ firmware, native: true, snp: false, parameters: true, bootMode: 'real16' });
  const [kernel, shim] = [programs.kernel, programs.shim].map((bytes) => bytes && bytesSource(bytes));
  const sink = memorySink();
  await writeIgvm(addPrograms(wrapped, { kernel, shim }), sink, { crc32, sha256Hex, parameterOffsets: false });
  const source = countingSource(sink.bytes());
  return { source, file: readIgvm(source, { validate: false }) };
}

interface ImageBytes {
  source: ByteSource & { total: number };
  file: IgvmFile;
}

describe('the UKIs in an image of OVMF', () => {
  it('are read out of its pages', async () => {
    const { file } = await imageOf({ kernel: uki(), shim: ukiFile({ '.linux': 'l', '.cmdline': 'of the shim' }) });
    expect(Object.fromEntries(ukiFacts(file))).toEqual({
      'shim UKI .linux': `1 bytes, SHA-256 ${sha256Hex(Buffer.from('l'))}`,
      'shim UKI .cmdline': 'of the shim',
      'UKI .osrel': 'test',
      'UKI .cmdline': 'quiet',
      'UKI .linux': `9000 bytes, SHA-256 ${sha256Hex(KERNEL)}`,
      'UKI .initrd': `18000 bytes, SHA-256 ${sha256Hex(INITRD)}`,
    });
  });

  it('are compared by their sections', async () => {
    const [a, b] = [await imageOf({ kernel: uki() }), await imageOf({ kernel: uki({ '.cmdline': 'loud\u001b' }) })];
    const difference = await diffImages(a, b);
    expect(difference.file).toEqual([{ what: 'UKI .cmdline', a: 'quiet', b: 'loud\u001b' }]);
    expect(diffText(difference)).toContain('  UKI .cmdline:\n    A quiet\n    B loud\\u{1b}\n');
  });

  it('are hashed while the pages are read, and read again only if their order in the file differs', async () => {
    const { source, file } = await imageOf({ kernel: uki() });
    const factsAfter = async (directives: IgvmFile['directives']): Promise<{ facts: unknown; read: number }> => {
      const sections = new UkiSections(file);
      await streamDirectives({ directives }, [sections]);
      source.total = 0;
      return { facts: [...sections.facts()], read: source.total };
    };
    const facts = [...ukiFacts(file)];
    expect(await factsAfter(file.directives)).toEqual({ facts, read: 0 });
    const pages = file.directives.flatMap((each) =>
      each.type === 'pageData'
        ? Array.from({ length: each.pageCount }, (_, page) => ({
            ...each,
            gpa: each.gpa + page * PAGE_SIZE,
            pageCount: 1,
            content: bytesSource(readAll(guestMemory(file, 1, each.gpa + page * PAGE_SIZE, PAGE_SIZE), PAGE_SIZE)),
          }))
        : [],
    );
    const reversed = await factsAfter(pages.reverse());
    expect(reversed.facts).toEqual(facts);
    expect(reversed.read).toBeGreaterThan(KERNEL.length + INITRD.length - 1);
  });

  it.each<[string, Uint8Array]>([
    ['no UKI', Buffer.from('MZ')],
    ['a damaged one', ukiFile({ '.linux': KERNEL }).subarray(0, 5000)],
  ])('have no facts if there are none: %s', async (_, kernel) => {
    expect([...ukiFacts((await imageOf({ kernel })).file)]).toEqual([]);
  });

  it('are not looked for without OVMF', () => {
    expect([...ukiFacts({ version: 2, arch: 'x64', platforms: [], initializations: [], directives: [] })]).toEqual([]);
  });
});

describe("a guest's memory as bytes", () => {
  it('has the contents of its pages, in whatever pieces it is read', async () => {
    const program = uki();
    const { file } = await imageOf({ kernel: program });
    const memory = guestMemory(file, 1, 0x2000_0000, program.length);
    expect(program.equals(readAll(memory, program.length))).toBe(true);
    for (const [offset, size] of [
      [0, 1],
      [4095, 2],
      [5000, 10_000],
    ] as const) {
      const part = new Uint8Array(size).fill(9);
      memory.read(offset, part);
      expect(program.subarray(offset, offset + size).equals(part)).toBe(true);
    }
    expect(readAll(guestMemory(file, 1, 0x1000_0000, 100), 100)).toEqual(new Uint8Array(100));
    expect(readAll(guestMemory(file, 2, 0x2000_0000, 100), 100)).toEqual(new Uint8Array(100));
  });
});
