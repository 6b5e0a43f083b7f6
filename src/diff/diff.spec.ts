import fc from 'fast-check';
import {
  anyIgvmFile,
  fileOf,
  hashes,
  patternPage,
  platformOf,
  runOf,
  vbsContext,
  written,
} from '../igvm/igvm-file.fixture';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { type ComparedImage, diffImages } from './diff-images';
import { diffText } from './diff-text';
import { parseMap } from '../regions/image-map';

const pages = (...seeds: number[]): Uint8Array => Buffer.concat(seeds.map(patternPage));

async function image(file: IgvmFile, map?: string): Promise<ComparedImage> {
  const source = bytesSource((await written(file)).bytes);
  return { source, file: readIgvm(source, hashes), map: map === undefined ? undefined : parseMap(map) };
}

const diffOf = async (a: IgvmFile, b: IgvmFile, map?: string) => diffImages(await image(a, map), await image(b, map));

/** The only platform's differences; none when the files are the same. */
async function guestDiff(a: Directive[], b: Directive[], map?: string) {
  const { guests } = await diffOf(fileOf(a), fileOf(b), map);
  return guests[0] ?? { platform: '', headers: [], registers: [], pages: [], digests: [], commandLines: [] };
}

const context = (data: Uint8Array): Directive => ({
  type: 'vpContext',
  format: 'vbs',
  gpa: 0,
  compatibilityMask: 1,
  vpIndex: 0,
  data,
});

describe('diff of pages', () => {
  it('finds ranges that differ, whatever runs they are part of', async () => {
    const a = [runOf(0, pages(1, 2, 3, 4, 5))];
    const b = [runOf(0, pages(1)), runOf(PAGE_SIZE, pages(2, 9, 9)), runOf(4 * PAGE_SIZE, pages(5, 6))];
    expect((await guestDiff(a, b)).pages).toEqual([
      { gpa: 2 * PAGE_SIZE, end: 4 * PAGE_SIZE, difference: 'contents', tags: [] },
      { gpa: 5 * PAGE_SIZE, end: 6 * PAGE_SIZE, difference: 'onlyInB', tags: [] },
    ]);
  });

  it('distinguishes an empty page from a stored page of zeros, and both from other contents', async () => {
    const a = [runOf(0, pages(0, 0, 1))];
    const b = [runOf(0, EMPTY_SOURCE, { pageCount: 3 })];
    expect((await guestDiff(a, b)).pages).toEqual([
      { gpa: 0, end: 2 * PAGE_SIZE, difference: 'stored', tags: [] },
      { gpa: 2 * PAGE_SIZE, end: 3 * PAGE_SIZE, difference: 'contents', tags: [] },
    ]);
  });

  it('names type and flags where they differ', async () => {
    const { pages: differences } = await guestDiff([runOf(0, pages(1, 2))], [runOf(0, pages(1, 2), { flags: 4 })]);
    expect(differences).toEqual([
      { gpa: 0, end: 2 * PAGE_SIZE, difference: 'type', a: 'NORMAL', b: 'NORMAL SHARED', tags: [] },
    ]);
  });

  it('shows differing flags that have no name', async () => {
    const { pages: differences } = await guestDiff([runOf(0, pages(1))], [runOf(0, pages(1), { flags: 8 })]);
    expect(differences).toMatchObject([{ difference: 'type', a: 'NORMAL', b: 'NORMAL 0x8' }]);
  });

  it('agrees with a comparison page by page', async () => {
    const layout = fc.array(fc.constantFrom(undefined, 0, 1, 2), { minLength: 1, maxLength: 30 });
    const directivesOf = (seeds: (number | undefined)[]): Directive[] =>
      seeds.flatMap((seed, index) => (seed === undefined ? [] : [runOf(index * PAGE_SIZE, pages(seed))]));
    await fc.assert(
      fc.asyncProperty(layout, layout, async (a, b) => {
        const { pages: differences } = await guestDiff(directivesOf(a), directivesOf(b));
        const expected = Array.from({ length: 30 }, (_, index) => {
          if (a[index] === b[index]) return undefined;
          if (b[index] === undefined) return 'onlyInA';
          return a[index] === undefined ? 'onlyInB' : 'contents';
        });
        const found = Array.from({ length: 30 }, (_, index) => {
          const gpa = index * PAGE_SIZE;
          return differences.find((range) => range.gpa <= gpa && gpa < range.end)?.difference;
        });
        expect(found).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  it('names regions from the map files', async () => {
    const map = [
      'IGVM file isolation: None',
      'IGVM file layout:',
      '  0000000000000000 - 0000000000001000 (0x1000 bytes) kernel',
      '  0000000000001000 - 0000000000003000 (0x2000 bytes) initrd',
      'IGVM file required memory:',
      '  0000000000000000 - 0000000000100000 (0x100000 bytes) VTL2 protectable',
      '',
      '',
    ].join('\n');
    const { pages: differences } = await guestDiff([runOf(0, pages(1, 2, 3))], [runOf(0, pages(2, 2, 4))], map);
    expect(differences.map(({ tags }) => tags)).toEqual([['kernel'], ['initrd']]);
  });
});

describe('diff of pages and a large map', () => {
  it('takes time in proportion to both', async () => {
    const count = 50_000;
    const native = { platforms: [platformOf(PLATFORM_TYPE.NATIVE)] };
    const many = Array.from({ length: count }, (_, index) => runOf(2 * index * PAGE_SIZE, EMPTY_SOURCE));
    const tags = Array.from({ length: 2 * count }, (_, index) => {
      const gpa = index * PAGE_SIZE;
      return { gpa, end: gpa + PAGE_SIZE, tag: `range ${index}` };
    });
    const [a, b] = [await image(fileOf(many, native)), await image(fileOf([], native))];
    const begun = process.cpuUsage();
    const { guests } = await diffImages({ ...a, map: [tags] }, b);
    expect(guests[0]?.pages.map((page) => page.tags)).toEqual(many.map((_, index) => [`range ${2 * index}`]));
    expect(process.cpuUsage(begun).user).toBeLessThan(5_000_000);
  });
});

describe('diff of overlapping pages', () => {
  const file = (seed: number): IgvmFile => fileOf([runOf(0, pages(1)), runOf(0, pages(seed))]);

  it('is never empty, and shows the layers that differ', async () => {
    const difference = await diffOf(file(2), file(3));
    expect(difference.guests[0]?.overlaps).toEqual({ a: [{ gpa: 0, end: 0x1000 }], b: [{ gpa: 0, end: 0x1000 }] });
    expect(difference.guests[0]?.headers.map(({ what }) => what)).toEqual([
      'pages over or under others at GPA 0x0-0x1000 (2)',
    ]);
    const other = await diffOf({ ...file(2), initializations: [{ type: 'versionString', value: 'x' }] }, file(2));
    expect(diffText(other)).not.toContain('the guests are the same');
    expect(diffText(other)).toContain('overlapping pages in B');
  });
});

describe('diff of headers', () => {
  it('says which registers differ', async () => {
    const changed = vbsContext(0);
    changed[20] = 0x42;
    const difference = await diffOf(fileOf([context(vbsContext(0))]), fileOf([context(changed)]));
    expect(difference.guests[0]?.registers).toEqual([{ what: 'VP 0 rip', a: '0x0', b: '0x42' }]);
    expect(diffText(difference)).toContain('VP 0 rip:\n      A 0x0\n      B 0x42');
  });

  it('distinguishes the registers of VTLs if one of the guests has several', async () => {
    const of = (vtl: number, rip: number): Directive => {
      const data = vbsContext(vtl);
      data[20] = rip;
      return context(data);
    };
    expect((await guestDiff([of(0, 1), of(2, 3)], [of(0, 7), of(2, 3)])).registers).toEqual([
      { what: 'VP 0 VTL 0 rip', a: '0x1', b: '0x7' },
    ]);
    expect((await guestDiff([of(0, 1), of(2, 3)], [of(2, 3)])).registers).toEqual([
      { what: 'VP 0 VTL 0 context', a: 'vbs at GPA 0x0' },
      { what: 'VP 0 VTL 0 vtl', a: '0' },
      { what: 'VP 0 VTL 0 rip', a: '0x1' },
    ]);
  });

  it('numbers the contexts of the same VP and VTL', async () => {
    const same = context(vbsContext(0));
    const changed = vbsContext(0);
    changed[20] = 7;
    expect((await guestDiff([same, same], [same, context(changed)])).registers).toEqual([
      { what: 'VP 0 rip (2)', a: '0x0', b: '0x7' },
    ]);
  });

  it('compares all optional headers that it does not know', async () => {
    const unknown = (...bytes: number[]): IgvmFile['initializations'] =>
      bytes.map((byte) => ({ type: 'unknown', headerType: 0x8000_0200, data: Uint8Array.of(byte) }));
    const difference = await diffOf(
      fileOf([], { initializations: unknown(1, 3) }),
      fileOf([], { initializations: unknown(2, 3) }),
    );
    expect(difference.file).toEqual([{ what: 'header of type 0x80000200', a: '01', b: '02' }]);
  });

  it('shows small contents in full, and others by size and digest', async () => {
    const of = (size: number) => fileOf([], { initializations: [corim(new Uint8Array(size).fill(0xab))] });
    const corim = (content: Uint8Array) =>
      ({ type: 'corimDocument', compatibilityMask: 1, content: bytesSource(content) }) as const;
    const shown = async (a: number, b: number) => (await diffOf(of(a), of(b))).guests[0]?.headers;
    expect(await shown(32, 33)).toEqual([
      {
        what: 'corimDocument',
        a: 'ab'.repeat(32),
        b: `33 bytes, SHA-256 ${hashes.sha256Hex(new Uint8Array(33).fill(0xab))}`,
      },
    ]);
    expect(await shown(0, 1)).toEqual([
      { what: 'corimDocument', a: `0 bytes, SHA-256 ${hashes.sha256Hex(new Uint8Array(0))}`, b: 'ab' },
    ]);
  });

  it('compares parameter areas by their address, not by their index', async () => {
    const area = (index: number, gpa: number, size = PAGE_SIZE): Directive[] => [
      { type: 'parameterArea', index, size, initialData: EMPTY_SOURCE },
      { type: 'parameter', kind: 'memoryMap', index, byteOffset: 0 },
      { type: 'parameterInsert', index, gpa, compatibilityMask: 1 },
    ];
    const swapped = await guestDiff([...area(0, 0x1000), ...area(1, 0x3000)], [...area(1, 0x1000), ...area(0, 0x3000)]);
    expect(swapped.headers).toEqual([]);
    const larger = await guestDiff(area(0, 0x1000), area(0, 0x1000, 2 * PAGE_SIZE));
    expect(larger.headers).toEqual([
      { what: 'parameters at GPA 0x1000', a: '0x1000 bytes, memoryMap at 0x0', b: '0x2000 bytes, memoryMap at 0x0' },
    ]);
  });

  it('numbers repeated facts about a guest', async () => {
    const range: Directive = { type: 'errorRange', gpa: 0x5000, size: PAGE_SIZE, compatibilityMask: 1 };
    const changed = { ...range, size: 0 };
    const { headers } = await guestDiff([range, range, range], [range, changed, range, range]);
    expect(headers).toEqual([
      { what: 'errorRange at GPA 0x5000 (2)', a: 'size 0x1000', b: 'size 0x0' },
      { what: 'errorRange at GPA 0x5000 (4)', b: 'size 0x1000' },
    ]);
  });

  it('takes time in proportion to the headers, whether they are all the same or all parameters', async () => {
    const same = Array.from(
      { length: 20_000 },
      (): Directive => ({ type: 'errorRange', gpa: 0x5000, size: 0, compatibilityMask: 1 }),
    );
    const parameters = Array.from({ length: 10_000 }, (_, index): Directive[] => [
      { type: 'parameterArea', index, size: 0, initialData: EMPTY_SOURCE },
      { type: 'parameterInsert', index, gpa: index * PAGE_SIZE, compatibilityMask: 1 },
    ]).flat();
    const begun = process.cpuUsage();
    const difference = await guestDiff([...same, ...parameters], []);
    expect(difference.headers).toHaveLength(30_000);
    expect(process.cpuUsage(begun).user).toBeLessThan(10_000_000);
  });

  it('compares guests by platform, whatever their masks', async () => {
    const both = {
      ...fileOf([runOf(0, pages(1), { compatibilityMask: 2 })]),
      platforms: [platformOf(PLATFORM_TYPE.TDX, 1), platformOf(PLATFORM_TYPE.VSM_ISOLATION, 2)],
    };
    const { guests } = await diffOf(both, fileOf([runOf(0, pages(1))]));
    expect(guests).toEqual([
      { platform: 'TDX', onlyIn: 'a', headers: [], registers: [], pages: [], digests: [], commandLines: [] },
      { platform: 'VSM_ISOLATION', headers: [], registers: [], pages: [], digests: [], commandLines: [] },
    ]);
  });

  it('shows both digests, and what belongs to the file as a whole', async () => {
    const difference = await diffOf(
      fileOf([runOf(0, pages(1))]),
      fileOf([runOf(0, pages(2))], { initializations: [{ type: 'versionString', value: 'v2' }] }),
    );
    expect(difference.guests[0]?.digests).toEqual([
      {
        a: { digest: expect.stringMatching(/^[0-9A-F]{64}$/) },
        b: { digest: expect.stringMatching(/^[0-9A-F]{64}$/) },
      },
    ]);
    expect(difference.file).toEqual([{ what: 'version string', b: 'v2' }]);
    expect(diffText(difference)).toMatch(/\n {2}launch digest:\n {4}A [0-9A-F]{64}\n {4}B [0-9A-F]{64}\n$/);
  });

  const snp = (content: Uint8Array, initializations: IgvmFile['initializations'] = [POLICY]): IgvmFile =>
    fileOf([runOf(0, content, { pageCount: 1 })], {
      platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
      initializations,
    });
  const POLICY = { type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 1 } as const;

  it('shows the digest that the documents of an SEV-SNP image endorse', async () => {
    const difference = await diffOf(snp(pages(1)), snp(pages(2)));
    expect(difference.guests[0]?.digests).toEqual([
      {
        vmm: 'hyperv',
        a: { digest: expect.stringMatching(/^[0-9A-F]{96}$/) },
        b: { digest: expect.stringMatching(/^[0-9A-F]{96}$/) },
      },
    ]);
    expect(diffText(difference)).toMatch(/\n {2}launch digest, launched by hyperv:\n {4}A [0-9A-F]{96}\n/);
  });

  it('says why a guest has no digest', async () => {
    const difference = await diffOf(snp(pages(1)), snp(pages(1), []));
    expect(difference.guests[0]?.digests[0]).toEqual({
      vmm: 'hyperv',
      a: { digest: expect.any(String) },
      b: { reason: 'the file has no guest policy for its SEV-SNP platform' },
    });
    expect(diffText(difference)).toContain('B cannot be measured: the file has no guest policy');
  });

  it('leaves out digests that neither guest has', async () => {
    const native = (page: number): IgvmFile =>
      fileOf([runOf(0, pages(page))], { platforms: [platformOf(PLATFORM_TYPE.NATIVE)] });
    expect((await diffOf(native(1), native(2))).guests[0]?.digests).toEqual([]);
    expect((await diffOf(snp(pages(1), []), snp(pages(2), []))).guests[0]?.digests).toEqual([]);
  });
});

describe('diff', () => {
  it('finds no difference between the guests if only a label of the file differs', async () => {
    const labelled = (file: IgvmFile, value: string): IgvmFile => ({
      ...file,
      initializations: [
        ...file.initializations.filter(({ type }) => type !== 'versionString'),
        { type: 'versionString', value },
      ],
    });
    await fc.assert(
      fc.asyncProperty(anyIgvmFile(), async (file) => {
        const difference = await diffOf(labelled(file, 'one'), labelled(file, 'other'));
        expect(difference).toMatchObject({ isSame: false, file: [{ what: 'version string', a: 'one', b: 'other' }] });
        // A random file may have overlapping pages, which are named even if both files have the same.
        for (const { overlaps, platform, ...guest } of difference.guests) {
          expect({ platform, guest }).toEqual({
            platform,
            guest: { headers: [], registers: [], pages: [], digests: [], commandLines: [] },
          });
          expect(overlaps?.a).toEqual(overlaps?.b);
        }
      }),
      { numRuns: 8 },
    );
  });

  it('finds no difference between equal files', async () => {
    const difference = await diffOf(fileOf([runOf(0, pages(1))]), fileOf([runOf(0, pages(1))]));
    expect(difference).toEqual({ isSame: true, file: [], guests: [] });
    expect(diffText(difference)).toBe('the files are the same\n');
  });

  it('says so when only the order in the file differs', async () => {
    const [one, other] = [runOf(0, pages(1)), runOf(PAGE_SIZE, pages(2))];
    const required: Directive = {
      type: 'requiredMemory',
      gpa: 0,
      size: PAGE_SIZE,
      vtl2Protectable: false,
      compatibilityMask: 1,
    };
    const difference = await diffOf(fileOf([required, one, other]), fileOf([one, other, required]));
    expect(difference.isSame).toBe(false);
    expect(diffText(difference)).toBe('the guests are the same, but the files are laid out differently\n');
  });

  it('counts a page only once if its type and its contents differ', async () => {
    const a = [runOf(0, pages(1, 2, 3, 4)), runOf(9 * PAGE_SIZE, pages(1))];
    const b = [runOf(0, pages(1, 9, 3, 8), { flags: 4 }), runOf(9 * PAGE_SIZE, pages(2))];
    const text = diffText(await diffOf(fileOf(a), fileOf(b)));
    expect(text).toContain(
      [
        '  pages (5 differ):',
        '    0x0-0x4000  type NORMAL in A, NORMAL SHARED in B',
        '    0x1000-0x2000  contents differ',
        '    0x3000-0x4000  contents differ',
        '    0x9000-0xa000  contents differ',
        '',
      ].join('\n'),
    );
  });

  it('shows only the first 200 ranges', async () => {
    const many = Array.from({ length: 300 }, (_, index) => runOf(2 * index * PAGE_SIZE, pages(1)));
    const text = diffText(await diffOf(fileOf(many), fileOf([])));
    expect(text).toContain('pages (300 differ)');
    expect(text).toContain('… and 100 more ranges');
  });
});
