import { memorySink } from '../igvm/file-data';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { mpConfigurationTable, mpFloatingPointer } from '../loader/linux/linux-processors';
import {
  COMMAND_LINE,
  KERNEL,
  loadElf,
  nativeContext,
  nativeImage,
  pageData,
  parameter,
  PML4,
  quads,
  ZERO_PAGE,
  zeroPage,
} from './native-image.fixture';
import { GuestPages } from './guest-pages';
import { exportPvh, isIdentityMapped, type PvhExportOptions } from './pvh-export';
import { STUB } from './pvh-stub';
import type { IgvmFile } from '../igvm/model';

async function exported(image: IgvmFile, options: PvhExportOptions = {}) {
  const sink = memorySink();
  const result = await exportPvh(image, sink, options);
  const elf = loadElf(sink.bytes());
  const view = new DataView(elf.read(result.entry - STUB.CODE, PAGE_SIZE).buffer);
  /** Reads guest memory as it is when the guest starts, with staged pages in their places. */
  const read = (gpa: number, size: number): Uint8Array => {
    for (let at = view.getUint32(STUB.COPY_TABLE, true) - (result.entry - STUB.CODE); ; at += 12) {
      const [source, destination, count] = [0, 4, 8].map((offset) => view.getUint32(at + offset, true)) as [
        number,
        number,
        number,
      ];
      if (count === 0) return elf.read(gpa, size);
      if (gpa >= destination && gpa < destination + count * 4) return elf.read(source + gpa - destination, size);
    }
  };
  const text = (gpa: number): string => new TextDecoder().decode(read(gpa, 64)).replace(/\0.*/s, '');
  return { ...result, elf, read, text, zeroPageInStub: view.getUint32(STUB.ZERO_PAGE, true), bytes: sink.bytes() };
}

const failure = (code: string, text: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(text) as string }) as Error;

describe('PVH export', () => {
  it('has its entry point in the stub, in the first gap above 1 MiB', async () => {
    const { entry, elf, pagesEnd, fileSize, bytes } = await exported(nativeImage());
    expect(entry).toBe(0x100000 + STUB.CODE);
    expect(elf.entry).toBe(entry);
    expect(pagesEnd).toBe(KERNEL + 4 * PAGE_SIZE);
    expect(bytes.length).toBe(fileSize);
  });

  it('loads nothing below 1 MiB', async () => {
    const { elf } = await exported(nativeImage());
    expect(Math.min(...elf.segments.map(({ gpa }) => gpa))).toBe(0x100000);
  });

  it('has every page in its place when the guest starts', async () => {
    const { read } = await exported(nativeImage());
    expect(read(PML4, 8)).toEqual(quads(0x4003n).subarray(0, 8));
    expect(read(KERNEL, 5000).every((byte) => byte === 0xcc)).toBe(true);
    expect(read(KERNEL + 5000, 100)).toEqual(new Uint8Array(100));
  });

  it('keeps empty pages out of the file', async () => {
    const { elf, fileSize } = await exported(nativeImage([pageData(0x400000, 1000)]));
    expect(elf.segments).toContainEqual({ gpa: 0x400000, fileSize: PAGE_SIZE, memorySize: 1000 * PAGE_SIZE });
    expect(fileSize).toBeLessThan(20 * PAGE_SIZE);
  });

  it('makes one segment of adjacent pages', async () => {
    const page = new Uint8Array(PAGE_SIZE).fill(5);
    const runs = [0, 1, 2].map((index) => pageData(0x400000 + index * PAGE_SIZE, 1, page));
    const { elf } = await exported(nativeImage(runs));
    expect(elf.segments).toContainEqual({ gpa: 0x400000, fileSize: 3 * PAGE_SIZE, memorySize: 3 * PAGE_SIZE });
    expect(elf.read(0x402000, PAGE_SIZE)).toEqual(page);
  });

  it('copies contents larger than a chunk', async () => {
    const content = Uint8Array.from({ length: 3 * 2 ** 20 + 17 }, (_, index) => index % 251);
    const { elf } = await exported(nativeImage([pageData(0x400000, 800, bytesSource(content))]));
    expect(Buffer.compare(elf.read(0x400000, content.length), content)).toBe(0);
  });

  it('looks for a gap that the page tables map to the same address', async () => {
    // 2 MiB pages: the first maps elsewhere, so nothing below 2 MiB is suitable.
    const tables = [pageData(0x5000, 1, quads(0x600083n, 0x200083n, 0x400083n))];
    const image = nativeImage(tables);
    image.directives = image.directives.map((directive) =>
      directive.type === 'pageData' && directive.gpa === 0x4000 ? pageData(0x4000, 1, quads(0x5003n)) : directive,
    );
    const { entry } = await exported(image);
    expect(entry).toBe(KERNEL + 4 * PAGE_SIZE + STUB.CODE);
  });

  it('counts required memory as needed', async () => {
    const required = { gpa: 0x100000, compatibilityMask: 1, size: 0x1ff00000, vtl2Protectable: false };
    const { memoryNeeded, pagesEnd } = await exported(nativeImage([{ type: 'requiredMemory', ...required }]));
    expect(memoryNeeded).toBe(0x20000000);
    expect(pagesEnd).toBeLessThan(memoryNeeded);
  });

  it("leaves the image's ACPI tables out if the guest gets the VMM's", async () => {
    const tables = new Uint8Array(PAGE_SIZE);
    tables.set(Buffer.from('RSD PTR '));
    const page = zeroPage(0x10000000);
    new DataView(page.buffer).setBigUint64(0x70, 0x9c000n, true);
    const image = nativeImage([pageData(0x9c000, 1, tables)]);
    image.directives = image.directives.map((directive) =>
      directive.type === 'pageData' && directive.gpa === ZERO_PAGE ? pageData(ZERO_PAGE, 1, page) : directive,
    );
    const found = async (option: 'vmm' | 'image') => {
      const { read, text } = await exported(image, { tables: option });
      return [new DataView(read(ZERO_PAGE + 0x70, 8).buffer).getBigUint64(0, true), text(0x9c000)];
    };
    expect(await found('image')).toEqual([0x9c000n, 'RSD PTR ']);
    expect(await found('vmm')).toEqual([0n, '']);
  });

  describe("the zero page's maximum length of the command line", () => {
    const CMDLINE_SIZE = 0x238;
    const withLimit = (limit: number, commandLine: string): IgvmFile => {
      const page = zeroPage();
      new DataView(page.buffer).setUint32(CMDLINE_SIZE, limit, true);
      const image = nativeImage([pageData(COMMAND_LINE, 1, new TextEncoder().encode(commandLine))]);
      image.directives = image.directives.map((directive) =>
        directive.type === 'pageData' && directive.gpa === ZERO_PAGE ? pageData(ZERO_PAGE, 1, page) : directive,
      );
      return image;
    };
    const limitIn = async (image: IgvmFile, commandLine: string): Promise<number> => {
      const { read } = await exported(image, { commandLine });
      return new DataView(read(ZERO_PAGE + CMDLINE_SIZE, 4).buffer).getUint32(0, true);
    };

    it('stays that of the kernel, and is respected', async () => {
      expect(await limitIn(withLimit(255, 'a line'), 'short')).toBe(255);
      expect(await limitIn(withLimit(255, 'a line'), 'x'.repeat(255))).toBe(255);
      expect(await limitIn(withLimit(0, 'a line'), 'x'.repeat(255))).toBe(0);
      await expect(exported(withLimit(255, 'a line'), { commandLine: 'x'.repeat(256) })).rejects.toThrow(
        failure('BOOT_PARAMETER', "256 bytes, and the image's kernel takes at most 255"),
      );
      const parameters = parameter(0, 0x9000, 'commandLine');
      const byParameter = { ...withLimit(255, 'a line') };
      byParameter.directives = [...byParameter.directives, ...parameters];
      await expect(exported(byParameter, { commandLine: 'x'.repeat(256) })).rejects.toThrow(
        failure('BOOT_PARAMETER', 'takes at most 255'),
      );
    });

    it("grows with the command line where a tool has put the length of the image's own there", async () => {
      expect(await limitIn(withLimit(6, 'a line'), 'a longer line')).toBe(13);
      expect(await limitIn(withLimit(6, 'a line'), 'short')).toBe(6);
    });
  });

  describe('tables', () => {
    it('are those of the VMM by default: the stub completes the staged zero page', async () => {
      const { tables, zeroPageInStub, elf } = await exported(nativeImage([], { ramEnd: 0x10000000 }));
      expect(tables).toBe('vmm');
      expect(new DataView(elf.read(zeroPageInStub + 0x202, 4).buffer).getUint32(0, true)).toBe(0x53726448);
    });

    it('are those of the image on request, or with auto if it has a memory map', async () => {
      for (const tables of ['image', 'auto'] as const) {
        const result = await exported(nativeImage([], { ramEnd: 0x10000000 }), { tables });
        expect(result.tables).toBe('image');
        expect(result.zeroPageInStub).toBe(0);
        expect(result.read(ZERO_PAGE + 0x1e8, 1)).toEqual(Uint8Array.of(1));
      }
      expect((await exported(nativeImage(), { tables: 'auto' })).tables).toBe('vmm');
    });

    it('are made from the memory of the VM for an image without a memory map', async () => {
      await expect(exported(nativeImage(), { tables: 'image' })).rejects.toThrow(
        failure('BOOT_PARAMETER', 'memory map'),
      );
      const { read } = await exported(nativeImage(), { tables: 'image', memory: 2 ** 28 });
      expect(read(ZERO_PAGE + 0x1e8, 1)).toEqual(Uint8Array.of(3));
      const last = new DataView(read(ZERO_PAGE + 0x2d0 + 40, 20).buffer);
      expect([last.getBigUint64(0, true), last.getBigUint64(8, true)]).toEqual([0x100000n, 2n ** 28n - 0x100000n]);
    });

    it('made from the memory of the VM describe no memory above 2 GiB, where VMMs have devices', async () => {
      const image = nativeImage(parameter(0, 0xb000, 'memoryMap'));
      const { read } = await exported(image, { tables: 'image', memory: 2 ** 32 });
      const e820 = new DataView(read(ZERO_PAGE + 0x2d0 + 40, 20).buffer);
      expect([e820.getBigUint64(0, true), e820.getBigUint64(8, true)]).toEqual([0x100000n, 2n ** 31n - 0x100000n]);
      const pages = new DataView(read(0xb000 + 24, 24).buffer);
      expect([pages.getBigUint64(0, true), pages.getBigUint64(8, true)]).toEqual([0x100n, 0x80000n - 0x100n]);
    });

    it('of the image require the memory that they describe', async () => {
      const image = () => nativeImage([], { ramEnd: 2 ** 31 });
      expect((await exported(image(), { tables: 'image' })).memoryNeeded).toBe(2 ** 31);
      expect((await exported(image())).memoryNeeded).toBeLessThan(2 ** 24);
    });

    it('do not matter to guests other than Linux', async () => {
      const image = nativeImage();
      image.directives = image.directives.filter((each) => each.type !== 'pageData' || each.gpa !== ZERO_PAGE);
      expect((await exported(image)).zeroPageInStub).toBe(0);
    });

    it('of the VMM replace an MP table', async () => {
      const page = new Uint8Array(PAGE_SIZE);
      const table = mpConfigurationTable(4);
      page.set(table, 0x100);
      page.set(mpFloatingPointer(0x9f100), 0xc00);
      const image = () => nativeImage([pageData(0x9f000, 1, page), ...parameter(0, 0x9e000, 'vpCount')]);
      const theirs = await exported(image(), { cpus: 2 });
      expect(theirs.read(0x9fc00, 16)).toEqual(new Uint8Array(16));
      expect(theirs.read(0x9e000, 4)).toEqual(Uint8Array.of(4, 0, 0, 0));
      const own = await exported(image(), { cpus: 2, tables: 'image', memory: 2 ** 28 });
      expect(own.text(0x9fc00)).toMatch(/^_MP_/);
      expect(own.read(0x9e000, 4)).toEqual(Uint8Array.of(2, 0, 0, 0));
    });
  });

  describe('parameters', () => {
    it('keep the manifest’s command line', async () => {
      const image = nativeImage(parameter(0, COMMAND_LINE, 'commandLine', { initial: 'quiet\0' }));
      expect((await exported(image)).text(COMMAND_LINE)).toBe('quiet');
    });

    it('accept another command line', async () => {
      const image = nativeImage(parameter(0, COMMAND_LINE, 'commandLine', { initial: 'a long command line\0' }));
      expect((await exported(image, { commandLine: 'ä b' })).text(COMMAND_LINE)).toBe('ä b');
    });

    it('are not needed for another command line of a Linux guest', async () => {
      const line = pageData(COMMAND_LINE, 1, new TextEncoder().encode('a long command line\0'));
      expect((await exported(nativeImage([line]), { commandLine: 'b' })).text(COMMAND_LINE)).toBe('b');
      await expect(exported(nativeImage(), { commandLine: 'b' })).rejects.toThrow(
        failure('BOOT_PARAMETER', 'no place for a command line'),
      );
      await expect(exported(nativeImage([line]), { commandLine: 'x'.repeat(2048) })).rejects.toThrow(
        failure('BOOT_PARAMETER', 'has 2048 bytes and there is room for 2047'),
      );
    });

    it('contain the memory map, with an empty entry at its end', async () => {
      const image = nativeImage(parameter(0, 0xb000, 'memoryMap', { byteOffset: 24 }));
      const { read } = await exported(image, { memory: 2 ** 28 });
      const view = new DataView(read(0xb000 + 24, 72).buffer);
      const entries = [0, 24, 48].map((at) => [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)]);
      expect(entries).toEqual([
        [0n, 0xa0n],
        [0x100n, 0xff00n],
        [0n, 0n],
      ]);
    });

    it('must have room', async () => {
      const image = nativeImage(parameter(0, 0xb000, 'vpCount', { byteOffset: 4094 }));
      await expect(exported(image)).rejects.toThrow(failure('BOOT_PARAMETER', 'needs 4 bytes, and its area has 2'));
    });

    it('cannot be a device tree', async () => {
      await expect(exported(nativeImage(parameter(0, 0xb000, 'deviceTree')))).rejects.toThrow(
        failure('BOOT_PARAMETER', 'device tree'),
      );
    });

    it.each([
      [{ memory: 4097 }, 'memory is 4097'],
      [{ cpus: 0 }, 'cpus is 0'],
      [{ cpus: 1.5 }, 'cpus is 1.5'],
      [{ commandLine: 'a\0b' }, 'NUL'],
    ])('refuse %j', async (options, text) => {
      await expect(exported(nativeImage(), options)).rejects.toThrow(failure('BOOT_OPTION', text));
    });
  });

  describe('refuses', () => {
    it('guests of other platforms, and names VMMs that can start them', async () => {
      const image = nativeImage();
      image.platforms = image.platforms.map((platform) => ({ ...platform, platformType: 2 }));
      await expect(exported(image)).rejects.toThrow(failure('BOOT_PLATFORM', 'an SEV-SNP host can start it'));
    });

    it('aarch64', async () => {
      await expect(exported({ ...nativeImage(), arch: 'aarch64' })).rejects.toThrow(
        failure('BOOT_PLATFORM', 'aarch64'),
      );
    });

    it('an image without a context, and one that starts several processors', async () => {
      const image = nativeImage();
      const noContext = image.directives.filter(({ type }) => type !== 'vpContext');
      await expect(exported({ ...image, directives: noContext })).rejects.toThrow(failure('BOOT_CONTEXT', 'VP 0'));
      const second = { ...nativeContext(), vpIndex: 1 } as (typeof image.directives)[number];
      await expect(exported(nativeImage([second]))).rejects.toThrow(failure('BOOT_CONTEXT', 'VP 1'));
    });

    it('pages of video memory and BIOS', async () => {
      await expect(exported(nativeImage([pageData(0x9f000, 2)]))).rejects.toMatchObject({
        code: 'BOOT_LAYOUT',
        where: { gpa: { start: 0xa0000, end: 0xa1000 } },
      });
    });

    it('pages of a confidential guest', async () => {
      await expect(exported(nativeImage([{ ...pageData(0x9000), dataType: 1 }]))).rejects.toThrow(
        failure('BOOT_LAYOUT', 'cannot use'),
      );
    });

    it('page tables that map no gap to the same address', async () => {
      const image = nativeImage([], { context: nativeContext({ cr3: 0x9000n }) });
      await expect(exported(image)).rejects.toThrow(failure('BOOT_LAYOUT', 'no gap of 4 pages'));
    });
  });
});

/** Tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (PD) and 0x4000 (PT), each linked by entry 0 of the one before. */
const mapped = (pdpt: bigint[], pd: bigint[] = [], pt: bigint[] = []) => {
  const tables = [[0x2003n], pdpt, pd, pt].map((entries, index) => ({
    gpa: 0x1000 * (index + 1),
    size: 0x1000,
    content: bytesSource(quads(...entries)),
  }));
  const pages = new GuestPages(tables);
  return (address: number): boolean => isIdentityMapped(pages, 0x1000n, address);
};

describe('identity mapping', () => {
  it('is found in pages of 1 GiB, 2 MiB and 4 KiB', () => {
    expect(mapped([0n, (1n << 30n) | 0x83n])(0x40001000)).toBe(true);
    expect(mapped([0x3003n], [0n, 0x200083n])(0x3ff000)).toBe(true);
    expect(mapped([0x3003n], [0x4003n], [0n, 0x1003n])(0x1234)).toBe(true);
  });

  it('ignores bits outside the address, such as NX and accessed', () => {
    expect(mapped([0n, (1n << 63n) | (1n << 30n) | 0xe3n])(0x40001000)).toBe(true);
  });

  it('is missing where an entry is not present or points elsewhere', () => {
    expect(mapped([0n])(0x1000)).toBe(false);
    expect(mapped([(1n << 30n) | 0x83n])(0x1000)).toBe(false);
    expect(mapped([0x3003n], [0x4003n], [0n, 0x5003n])(0x1234)).toBe(false);
  });

  it('is missing where a table is not in the image', () => {
    expect(mapped([0x9003n])(0x1000)).toBe(false);
  });

  it('is missing where a table points to itself in a loop', () => {
    expect(mapped([0x2003n], [], [])(0x1000)).toBe(false);
  });
});
