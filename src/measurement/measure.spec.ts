import fc from 'fast-check';
import { maskOf, secondSnpDigest, secondTdxDigest, secondVbsDigest } from '../../e2e/measurement/second-measurement';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, PLATFORM_TYPE } from '../igvm/model';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { measure, type Measurement } from './measure';
import { fileOf, hex, idBlock, MASK, platform, run, vmsa, written } from './measured-guest.fixture';

async function digests(file: IgvmFile): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const { platform: name, digest } of await measure(file)) result[name] = hex(digest);
  const [vanadium] = await measure(file, { platforms: ['snp'], launches: [{ vmm: 'vanadium' }] });
  result.vanadium = hex(vanadium?.digest ?? new Uint8Array());
  return result;
}

async function secondDigests(file: IgvmFile): Promise<Record<string, string>> {
  const bytes = await written(file);
  expect(maskOf(bytes, PLATFORM_TYPE.TDX)).toBe(MASK.tdx);
  return {
    snp: hex(secondSnpDigest(bytes, MASK.snp, 'hyperv')),
    vanadium: hex(secondSnpDigest(bytes, MASK.snp, 'vanadium')),
    tdx: hex(secondTdxDigest(bytes, MASK.tdx)),
    vbs: hex(secondVbsDigest(bytes, MASK.vbs)),
  };
}

/** Runs at ascending addresses, each with contents of some length (none, part of a page, zeros in between). */
const runs = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 0, max: 3 }),
      pageCount: fc.integer({ min: 1, max: 40 }),
      filled: fc.double({ min: 0, max: 1, noNaN: true }),
      seed: fc.integer({ min: 0, max: 3 }),
      flags: fc.constantFrom(0, 0, PAGE_FLAG.UNMEASURED, PAGE_FLAG.SHARED),
      kind: fc.constantFrom(0, 0, 0, PAGE_DATA_TYPE.SECRETS, PAGE_DATA_TYPE.CPUID_DATA, PAGE_DATA_TYPE.CPUID_XF),
      mask: fc
        .subarray(Object.values(MASK), { minLength: 1 })
        .map((bits) => bits.reduce<number>((mask, bit) => mask + bit, 0)),
    }),
    { maxLength: 12 },
  )
  .map((specs) => {
    let page = 0x100;
    return specs.map(({ gap, pageCount, filled, seed, flags, kind, mask }) => {
      const first = page + gap;
      page = first + pageCount;
      const bytes = new Uint8Array(Math.floor(filled * pageCount * PAGE_SIZE));
      for (let at = 0; at < bytes.length; at += 1000) bytes[at] = seed * (at % 251);
      const special = kind !== PAGE_DATA_TYPE.NORMAL;
      return run(first, {
        pageCount,
        flags: special ? 0 : flags,
        dataType: kind,
        compatibilityMask: special ? MASK.snp : mask,
        content: bytesSource(bytes),
      });
    });
  });

const vbsContext = (): Directive => {
  const data = new Uint8Array(4 + 2 * 32);
  const view = new DataView(data.buffer);
  view.setUint32(0, 2, true);
  view.setUint32(5, 0x00020010, true);
  view.setBigUint64(20, 0x123456789n, true);
  view.setUint32(37, 0x00040000, true);
  view.setBigUint64(52, 0x80000001n, true);
  return { type: 'vpContext', format: 'vbs', gpa: 0, compatibilityMask: MASK.vbs, vpIndex: 0, data };
};

const parameters = (pages: number): Directive[] => [
  { type: 'parameterArea', index: 0, size: pages * PAGE_SIZE, initialData: EMPTY_SOURCE },
  { type: 'parameter', kind: 'memoryMap', index: 0, byteOffset: 0 },
  { type: 'parameterInsert', index: 0, gpa: 0x10000, compatibilityMask: MASK.tdx },
];

describe('measure', () => {
  it('agrees with a second implementation on any file', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.integer({ min: 1, max: 4 }), async (pages, areaPages) => {
        const file = fileOf([
          vmsa(0xfffffffff000),
          ...parameters(areaPages),
          { type: 'parameterArea', index: 1, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
          { type: 'parameterInsert', index: 1, gpa: 0x20000, compatibilityMask: MASK.snp | MASK.vbs },
          ...pages,
          { type: 'errorRange', gpa: 0x40000, size: 2 * PAGE_SIZE, compatibilityMask: MASK.vbs },
          vbsContext(),
        ]);
        expect(await digests(file)).toEqual(await secondDigests(file));
      }),
      { numRuns: 60 },
    );
  });

  it('warns about an ID block that expects another digest, whatever the VMM', async () => {
    for (const vmm of ['hyperv', 'vanadium'] as const) {
      const options = { platforms: ['snp' as const], launches: [{ vmm }] };
      const [plain] = await measure(fileOf([vmsa(0x1000)]), options);
      const withBlock = async (ld: Uint8Array) => (await measure(fileOf([idBlock(ld), vmsa(0x1000)]), options))[0]!;
      const right = await withBlock(plain!.digest);
      expect(right).toEqual(plain);
      expect((await withBlock(new Uint8Array(48))).warnings).toEqual([
        ...plain!.warnings,
        expect.stringContaining('expects another launch digest'),
      ]);
    }
  });

  it('warns about nothing under Hyper-V, which launches the file as it is', async () => {
    const [{ warnings }] = (await measure(fileOf([vmsa(0x1000, 1), vmsa(0x2000)]), { platforms: ['snp'] })) as [
      Measurement,
    ];
    expect(warnings).toEqual([]);
  });

  it('measures the platforms in the order of their headers, or in the requested order', async () => {
    const file = fileOf([run(1)]);
    const reversed = { ...file, platforms: file.platforms.toReversed() };
    const names = (measurements: readonly Measurement[]) =>
      measurements.map((each) => [each.platform, each.compatibilityMask]);
    expect(names(await measure(file))).toEqual([
      ['snp', MASK.snp],
      ['tdx', MASK.tdx],
      ['vbs', MASK.vbs],
    ]);
    expect(names(await measure(reversed))).toEqual([
      ['vbs', MASK.vbs],
      ['tdx', MASK.tdx],
      ['snp', MASK.snp],
    ]);
    expect(names(await measure(file, { platforms: ['tdx', 'snp'] }))).toEqual([
      ['tdx', MASK.tdx],
      ['snp', MASK.snp],
    ]);
  });

  it('measures nothing for an empty area or range', async () => {
    const nothing: Directive[] = [
      ...parameters(0),
      { type: 'errorRange', gpa: 0x40000, size: 0, compatibilityMask: MASK.vbs },
    ];
    expect(await digests(fileOf([...nothing, run(1)]))).toEqual(await digests(fileOf([run(1)])));
  });

  it('fails with the error of a source', async () => {
    const broken = new Error('the disk is gone');
    const content = {
      size: PAGE_SIZE,
      read() {
        throw broken;
      },
    };
    await expect(measure(fileOf([run(1, { content })]))).rejects.toBe(broken);
  });

  it('refuses a platform that the file does not have', async () => {
    const file = { ...fileOf([]), platforms: [platform(1, PLATFORM_TYPE.TDX)] };
    await expect(measure(file, { platforms: ['vbs'] })).rejects.toMatchObject({
      code: 'MEASUREMENT_UNAVAILABLE',
      message: expect.stringContaining('tdx'),
    });
    const native = { ...fileOf([]), platforms: [platform(1, PLATFORM_TYPE.NATIVE), platform(2, PLATFORM_TYPE.TDX)] };
    await expect(measure(native, { platforms: ['snp'] })).rejects.toThrow(
      'the file has no snp platform (it has: native, tdx)',
    );
    const none = { ...fileOf([]), platforms: [] };
    await expect(measure(none, { platforms: ['snp'] })).rejects.toThrow('(it has: none)');
  });

  it('returns nothing for a file with nothing to measure', async () => {
    const native = { ...fileOf([]), platforms: [platform(1, PLATFORM_TYPE.NATIVE)] };
    expect(await measure(native)).toEqual([]);
  });

  it.each<[string, Partial<IgvmFile>]>([
    ['SEV-SNP without a guest policy', { initializations: [] }],
    [
      'SEV-SNP with the guest policy of another platform',
      { initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: MASK.tdx }] },
    ],
    ['a page type that VBS does not have', { directives: [run(0, { dataType: PAGE_DATA_TYPE.SECRETS })] }],
    [
      'an insert of an unknown parameter area',
      { directives: [{ type: 'parameterInsert', index: 9, gpa: 0, compatibilityMask: 1 }] },
    ],
    [
      'a parameter area defined twice',
      {
        directives: [...parameters(1), { type: 'parameterArea', index: 0, size: PAGE_SIZE, initialData: EMPTY_SOURCE }],
      },
    ],
    ['a parameter area of a size that would take years', { directives: parameters(2 ** 38) }],
    [
      'a VBS context shorter than its register count says',
      { directives: [{ ...vbsContext(), data: new Uint8Array([255, 255, 255, 255]) } as Directive] },
    ],
    [
      'a VBS context without register count',
      { directives: [{ ...vbsContext(), data: new Uint8Array(3) } as Directive] },
    ],
  ])('refuses %s', async (_, changes) => {
    await expect(measure({ ...fileOf([]), ...changes })).rejects.toMatchObject({ code: 'MEASUREMENT_IMPOSSIBLE' });
  });
});
