import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildManifest } from '../builder/build-manifest';
import { updateFiles, wrapFiles } from '../builder/ovmf-image';
import { diffFiles, diffImages } from '../diff/diff-images';
import { diffText } from '../diff/diff-text';
import { crc32, sha256Hex } from '../files/hashes';
import { readImage } from '../files/igvm-image';
import { memorySink } from '../igvm/file-data';
import { countingSource } from '../igvm/igvm-file.fixture';
import type { IgvmFile } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { streamDirectives } from '../igvm/stream';
import { writeIgvm } from '../igvm/write-igvm';
import { inspectImage } from '../inspect/inspect-file';
import { efiProgram, ovmfFirmware, SEV_REGIONS, variableStore } from '../loader/ovmf/ovmf-firmware.fixture';
import { addPrograms } from '../loader/ovmf/update';
import { wrapFirmware } from '../loader/ovmf/wrap';
import { type ByteSource, bytesSource, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { guestMemory } from '../regions/guest-pages';
import { fitsMap } from '../regions/guest-regions';
import { mapBeside } from '../regions/image-map';
import { ukiFile } from '../uki/uki.fixture';
import { ovmfMeasured, regionNames, ukiFacts, UkiSections } from './ovmf-facts';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-names-'));
  writeFileSync(at('OVMF.fd'), ovmfFirmware({ sev: SEV_REGIONS }));
  writeFileSync(at('VARS.fd'), variableStore());
  writeFileSync(at('linux.efi'), ukiFile({ '.linux': 'one' }));
  writeFileSync(at('newer.efi'), ukiFile({ '.linux': 'two' }));
  writeFileSync(at('plain.efi'), efiProgram('three'));
  await wrapFiles({
    firmware: at('OVMF.fd'),
    vars: at('VARS.fd'),
    native: true,
    snp: true,
    parameters: true,
    bootMode: 'real16',
    output: at('wrapped.igvm'),
  });
  for (const [program, output] of [
    ['linux.efi', 'one.igvm'],
    ['newer.efi', 'two.igvm'],
  ] as const) {
    const options = { addHashes: true, arch: 'x64' } as const;
    await updateFiles({ image: at('wrapped.igvm'), kernel: at(program), ...options, output: at(output) });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('an OVMF image without a map file', () => {
  it('has the same names that a build gives the image', async () => {
    const snp = { policy: 0x30000, enable_debug: false, injection_type: 'normal' };
    const guests = ['none', { snp }].map((isolation_type) => ({
      guest_svn: 1,
      max_vtl: 0,
      isolation_type,
      image: { ovmf: { secure_boot: { hashes: true } } },
    }));
    const resources = { ovmf_code: 'OVMF.fd', ovmf_vars: 'VARS.fd', uki: 'linux.efi' };
    writeFileSync(at('igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources }));
    await buildManifest({ manifest: at('igvm.json'), output: at('built.igvm') });
    expect(readFileSync(at('built.igvm')).equals(readFileSync(at('one.igvm')))).toBe(true);
    const file = readImage(at('one.igvm'));
    const names = regionNames(at('one.igvm'), file)!;
    const built = mapBeside(at('built.igvm'))!;
    const texts = (map: typeof names): string[][] =>
      map.map((ranges) => ranges.map(({ gpa, end, tag }) => `${gpa.toString(16)}-${end.toString(16)} ${tag}`));
    expect(texts(names)).toEqual(texts(built));
    expect(fitsMap(file, names)).toBe(true);
  });

  it('distinguishes a UKI from other programs', async () => {
    const options = { addHashes: false, arch: 'x64' } as const;
    await updateFiles({ image: at('wrapped.igvm'), kernel: at('plain.efi'), ...options, output: at('plain.igvm') });
    const file = readImage(at('plain.igvm'));
    const names = regionNames(at('plain.igvm'), file)!
      .flat()
      .map(({ tag }) => tag);
    expect([names.includes('linux-kernel'), names.includes('uki')]).toEqual([true, false]);
    expect(ovmfMeasured(file)).toMatch(/list of programs, kernel; not measured/);
  });

  it('is compared by these names', async () => {
    const { guests } = await diffFiles(at('one.igvm'), at('two.igvm'));
    const changed = JSON.stringify(guests);
    for (const name of ['secure-boot-db', 'uki']) expect(changed).toContain(name);
    expect(changed).not.toContain('ovmf-code');
  });

  it('shows which regions are measured, in the page and in the text', async () => {
    const expected =
      /measured: firmware, variable store, list of programs, PK, KEK, db, dbx; not measured: UKI, what the VMM/;
    expect(ovmfMeasured(readImage(at('one.igvm')))).toMatch(expected);
    expect(ovmfMeasured(readImage(at('wrapped.igvm')))).toBe(
      'measured: firmware, variable store; not measured: what the VMM fills in',
    );
    let text = '';
    const write = (part: string): void => void (text += part);
    for (const format of ['text', 'html'] as const) {
      text = '';
      await inspectImage({ image: at('one.igvm'), name: 'one.igvm', format, write });
      expect(text).toMatch(expected);
    }
    expect(text).toContain('secure-boot-dbx');
  });

  it('shows the contents of a UKI, in the page and in the text', async () => {
    const uki = ukiFile({ '.cmdline': 'quiet <b>\u001b', '.linux': new Uint8Array(700) });
    writeFileSync(at('uki.efi'), uki);
    await updateFiles({
      image: at('wrapped.igvm'),
      kernel: at('uki.efi'),
      addHashes: false,
      arch: 'x64',
      output: at('uki.igvm'),
    });
    const texts: string[] = [];
    for (const format of ['text', 'html'] as const) {
      const write = (part: string): void => void texts.push(part);
      await inspectImage({ image: at('uki.igvm'), name: 'uki.igvm', format, write });
    }
    expect(texts.join('')).toContain('UKI .cmdline: quiet <b>\\u{1b}\n');
    expect(texts.join('')).toMatch(/UKI \.linux: 700 bytes, SHA-256 [0-9a-f]{64}\n/);
    expect(texts.at(-1)).toMatch(/<dt>UKI \.cmdline<\/dt><dd><code>quiet &lt;b&gt;\\u\{1b\}<\/code>/);
    expect(texts.at(-1)).toMatch(/<dt>UKI \.linux<\/dt><dd><code>700 bytes, SHA-256 /);
  });

  it('has the names of its map file once it has one', () => {
    copyFileSync(at('two.igvm'), at('mapped.igvm'));
    writeFileSync(at('mapped.igvm.map'), '');
    expect(regionNames(at('mapped.igvm'), readImage(at('mapped.igvm')))).toEqual([]);
  });
});

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

describe('the UKIs in an OVMF image', () => {
  it('are read from its pages', async () => {
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
    ['another program', Buffer.from('MZ')],
    ['a damaged UKI', ukiFile({ '.linux': KERNEL }).subarray(0, 5000)],
  ])('have no facts if there is only %s', async (_, kernel) => {
    expect([...ukiFacts((await imageOf({ kernel })).file)]).toEqual([]);
  });

  it('are not looked for in other images', () => {
    expect([...ukiFacts({ version: 2, arch: 'x64', platforms: [], initializations: [], directives: [] })]).toEqual([]);
  });
});

describe("a guest's memory as bytes", () => {
  it('has the contents of its pages, whatever parts of it are read', async () => {
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
