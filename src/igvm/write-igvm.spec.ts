import { setTimeout } from 'node:timers/promises';
import { type ByteSource, bytesSource, EMPTY_SOURCE, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { contextOf, fileOf, hashes, patternPage, platformOf, runOf, vbsContext, written } from './igvm-file.fixture';
import { PLATFORM_TYPE, type IgvmFile } from './model';
import { readIgvm } from './read-igvm';
import { type IgvmSink, memorySink } from './file-data';
import { writeIgvm } from './write-igvm';

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const read = (bytes: Uint8Array): IgvmFile => readIgvm(bytesSource(bytes), hashes);

describe('writeIgvm', () => {
  it('puts the data right after the headers and stores equal data once, whatever its purpose', async () => {
    const page = patternPage(1);
    const file = fileOf([
      runOf(0x1000, concat(page, patternPage(2), page)),
      { type: 'parameterArea', size: PAGE_SIZE, index: 0, initialData: bytesSource(page) },
      { type: 'parameterArea', size: 2 * PAGE_SIZE, index: 1, initialData: bytesSource(page) },
      { type: 'parameterArea', size: PAGE_SIZE, index: 2, initialData: EMPTY_SOURCE },
      contextOf(),
      contextOf(),
      runOf(0x9000, page.subarray(0, 1000), { pageCount: 2 }),
      runOf(0xa000, new Uint8Array(2 * PAGE_SIZE)),
    ]);
    const { bytes, report } = await written(file);
    const headerBytes = 24 + 24 + 8 * 32 + 3 * 24 + 2 * 32 - 32;
    const stored = concat(
      page,
      patternPage(2),
      concat(page, new Uint8Array(PAGE_SIZE)),
      vbsContext(2),
      concat(page.subarray(0, 1000), new Uint8Array(PAGE_SIZE - 1000)),
      new Uint8Array(PAGE_SIZE),
    );
    expect(report).toEqual({
      fileSize: headerBytes + stored.length,
      headerBytes,
      pages: 7,
      emptyPages: 1,
      uniquePages: 4,
      dedupedBytes: 3 * PAGE_SIZE + vbsContext(2).length,
    });
    expect(bytes.subarray(report.headerBytes)).toEqual(stored);
  });

  it('writes a header for every page, with and without data', async () => {
    const gpa = 0x12_3456_7000;
    const file = fileOf(
      [
        runOf(gpa, concat(patternPage(1), patternPage(2)), {
          pageCount: 4,
          flags: 0x0102_0304,
          dataType: 3,
          compatibilityMask: 0x8000_0001,
        }),
        runOf(0x4000_0000, new Uint8Array(513 * PAGE_SIZE)),
      ],
      { platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)] },
    );
    const { bytes, report } = await written(file);
    const data = report.headerBytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const header = (index: number) => Buffer.from(bytes.subarray(48 + 32 * index, 80 + 32 * index)).toString('hex');
    const u32 = (value: number): string => Buffer.from(Uint32Array.of(value).buffer).toString('hex');
    const typeAndLength = `${u32(0x302)}${u32(24)}`;
    const mask = u32(0x8000_0001);
    for (const [page, offset] of [data, data + PAGE_SIZE, 0, 0].entries()) {
      expect(header(page)).toBe(
        [typeAndLength, u32(0x3456_7000 + page * PAGE_SIZE), u32(0x12), mask, u32(offset), '04030201', '03000000'].join(
          '',
        ),
      );
    }
    // The next run comes in two chunks. All its pages are zeros.
    for (const page of [0, 1, 511, 512]) {
      expect(view.getUint32(48 + 32 * (4 + page) + 8, true)).toBe(0x4000_0000 + page * PAGE_SIZE);
      expect(view.getUint32(48 + 32 * (4 + page) + 20, true)).toBe(data + 2 * PAGE_SIZE);
    }
  });

  it('waits until each content is ready', async () => {
    const content = new Uint8Array(3);
    const source = { ...bytesSource(content), ready: async () => content.set([1, 2, 3]) };
    const { bytes } = await written(
      fileOf([], { initializations: [{ type: 'corimDocument', compatibilityMask: 1, content: source }] }),
    );
    expect(bytes.subarray(-3)).toEqual(Uint8Array.of(1, 2, 3));
    const late = { ...bytesSource(Uint8Array.of(4)), late: true };
    const ended = await written(
      fileOf([], { initializations: [{ type: 'corimDocument', compatibilityMask: 1, content: late }] }),
    );
    expect(ended.bytes.at(-1)).toBe(4);
  });

  it('counts stored pages, and no other data of the size of a page', async () => {
    const area = {
      type: 'parameterArea' as const,
      size: PAGE_SIZE,
      index: 0,
      initialData: bytesSource(patternPage(1)),
    };
    const { report } = await written(
      fileOf([area, runOf(0x1000, concat(patternPage(2), patternPage(3), patternPage(1)))]),
    );
    expect(report).toMatchObject({ pages: 3, uniquePages: 2, dedupedBytes: PAGE_SIZE });
  });

  it('leaves a hole for a late document and fills it when all pages have been seen', async () => {
    const events: string[] = [];
    const late = {
      size: 3,
      late: true,
      ready: async () => void events.push('ready'),
      read: (_: number, target: Uint8Array) => target.set([7, 8, 9]),
    };
    const file = fileOf([runOf(0x1000, patternPage(1))], {
      initializations: [{ type: 'corimDocument', compatibilityMask: 1, content: late }],
    });
    const sink = memorySink();
    await writeIgvm(file, sink, { ...hashes, observers: [{ pages: () => void events.push('pages') }] });
    expect(events).toEqual(['pages', 'ready']);
    const back = read(sink.bytes());
    expect(back.initializations).toMatchObject([{ type: 'corimDocument', content: { size: 3 } }]);
    const [document] = back.initializations;
    expect(document?.type === 'corimDocument' && readAll(document.content, 3)).toEqual(Uint8Array.of(7, 8, 9));
  });

  it('writes the same bytes to a slow sink that settles in any order', async () => {
    const content = new Uint8Array(900 * PAGE_SIZE);
    for (let page = 0; page < 900; page++) content.set(patternPage(page % 200), page * PAGE_SIZE);
    const file = fileOf([runOf(0, content), runOf(2 ** 30, content.subarray(0, 400 * PAGE_SIZE - 5))]);
    const memory = memorySink();
    let turn = 0;
    const slow = {
      write: async (offset: number, bytes: Uint8Array) => {
        await setTimeout((turn++ % 3) * 3);
        await memory.write(offset, bytes);
      },
      read: memory.read,
    };
    const report = await writeIgvm(file, slow, hashes);
    expect(report.uniquePages).toBe(201);
    expect(Buffer.compare(memory.bytes(), (await written(file)).bytes)).toBe(0);
  });

  it('leaves no pending work when a source fails', async () => {
    let [begun, underWay] = [0, 0];
    const slow: IgvmSink = {
      async write() {
        begun++;
        underWay++;
        await setTimeout(20);
        underWay--;
      },
      read: () => undefined,
    };
    const broken: ByteSource = {
      size: PAGE_SIZE,
      read() {
        throw new Error('torn');
      },
    };
    // More pages than are gathered before they are written.
    const runs = Array.from({ length: 300 }, (_, page) => runOf(page * PAGE_SIZE, Uint8Array.of(1, page, page >> 8)));
    await expect(writeIgvm(fileOf([...runs, runOf(2 ** 30, broken)]), slow, hashes)).rejects.toThrow('torn');
    expect(begun).toBeGreaterThan(0);
    expect(underWay).toBe(0);
  });

  it('writes version 2 with its architecture', async () => {
    const file = fileOf([], { version: 2, arch: 'aarch64' });
    expect(read((await written(file)).bytes)).toEqual(file);
  });

  it('fails when its sink fails', async () => {
    const sink = { ...memorySink(), write: () => Promise.reject(new Error('disk full')) };
    await expect(writeIgvm(fileOf([runOf(0, patternPage(1))]), sink, hashes)).rejects.toThrow('disk full');
  });

  it('refuses too large headers or data before it writes that much', async () => {
    const run = runOf(0, EMPTY_SOURCE, { pageCount: 2 ** 28 });
    await expect(written(fileOf([run]))).rejects.toMatchObject({ code: 'IGVM_TOO_LARGE' });
    const area = { type: 'parameterArea', size: 2 ** 32, index: 0, initialData: bytesSource(patternPage(1)) } as const;
    await expect(written(fileOf([area]))).rejects.toMatchObject({ code: 'IGVM_TOO_LARGE' });
  });

  it('refuses an invalid file before it writes anything', async () => {
    const sink = { ...memorySink(), write: jest.fn() };
    const file = fileOf([runOf(0x1001, patternPage(1))], { platforms: [platformOf(PLATFORM_TYPE.TDX)] });
    await expect(writeIgvm(file, sink, hashes)).rejects.toMatchObject({
      code: 'IGVM_INVALID',
      where: { gpa: { start: 0x1001, end: 0x2001 } },
    });
    expect(sink.write).not.toHaveBeenCalled();
  });

  describe('refuses a value that does not fit its field, and names the header and the place', () => {
    const required = { type: 'requiredMemory', gpa: 0x1000, compatibilityMask: 1, vtl2Protectable: false } as const;
    const page = patternPage(1);
    const cases: [what: string, file: IgvmFile, message: string, gpa: { start: number; end: number } | undefined][] = [
      [
        'a size',
        fileOf([{ ...required, size: 2 ** 32 }]),
        'required memory: size 4294967296 is not an unsigned number of 32 bits',
        { start: 0x1000, end: 0x1_0000_1000 },
      ],
      [
        'the flags of a page',
        fileOf([runOf(0, page), runOf(0x1000, page, { flags: 2 ** 33 + 1 })]),
        'page data: flags 8589934593 is not an unsigned number of 32 bits',
        { start: 0x1000, end: 0x2000 },
      ],
      [
        'the mask of an empty page',
        fileOf([runOf(0, EMPTY_SOURCE, { compatibilityMask: -1 })]),
        'page data: compatibilityMask -1 is not an unsigned number of 32 bits',
        { start: 0, end: 0x1000 },
      ],
      [
        'an address',
        fileOf([runOf(-PAGE_SIZE, page)]),
        'page data: gpa -4096 is not an unsigned number of 53 bits',
        undefined,
      ],
      [
        'a boundary',
        fileOf([], { platforms: [{ ...platformOf(PLATFORM_TYPE.TDX), sharedGpaBoundary: 2n ** 64n }] }),
        'supported platform: sharedGpaBoundary 18446744073709551616 is not an unsigned number of 64 bits',
        undefined,
      ],
    ];
    it.each(cases)('%s', async (_what, file, message, gpa) => {
      const where = gpa === undefined ? {} : { gpa };
      await expect(written(file)).rejects.toMatchObject({ code: 'IGVM_INVALID', message });
      await expect(written(file)).rejects.toHaveProperty('where', where);
    });
  });
});
