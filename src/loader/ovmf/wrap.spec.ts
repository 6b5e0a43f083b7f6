import type { Directive, IgvmFile } from '../../igvm/model';
import { bytesSource } from '../../memory/byte-source';
import { HOB_AREA, ovmfFirmware, SEV_REGIONS } from './ovmf-firmware.fixture';
import { checkNoPageTwice, dataPages, inWrapOrder } from './pages';
import { describeOvmfTable, wrapFirmware, type WrapOptions } from './wrap';

const wrap = (options: Partial<WrapOptions> & { content?: Uint8Array } = {}): IgvmFile =>
  wrapFirmware({
    firmware: bytesSource(options.content ?? ovmfFirmware({ sev: SEV_REGIONS })),
    native: true,
    snp: false,
    parameters: true,
    bootMode: 'real16',
    ...options,
  });

/** One line for each directive: its type, address, platforms, number of pages and page type. */
const lines = ({ directives }: IgvmFile): string[] =>
  directives.map((each: Directive) => {
    if (each.type === 'pageData') {
      const pages = `${each.pageCount} ${each.content.size === 0 ? 'empty' : 'data'}`;
      return `${each.gpa.toString(16)} mask ${each.compatibilityMask}: ${pages}, type ${each.dataType}`;
    }
    if (each.type === 'parameter') return `${each.kind} at ${each.byteOffset}`;
    if (each.type === 'parameterArea') return `area of ${each.size}`;
    return `${each.type} ${'gpa' in each ? each.gpa.toString(16) : ''}`;
  });

describe('firmware in an image', () => {
  it('ends at 4 GiB and below 1 MiB, with the regions that the metadata asks for', () => {
    expect(lines(wrap())).toEqual([
      'area of 4096',
      'memoryMap at 0',
      'vpCount at 4080',
      'parameterInsert 808000',
      'f0000 mask 1: 16 data, type 0',
      '809000 mask 1: 1 data, type 0',
      'ffff0000 mask 1: 16 data, type 0',
    ]);
  });

  it('is shared by both platforms, after the pages of SEV-SNP', () => {
    const file = wrap({ snp: true, vars: bytesSource(new Uint8Array(8192).fill(1)) });
    expect(file.platforms.map(({ platformType, compatibilityMask }) => [platformType, compatibilityMask])).toEqual([
      [0, 1],
      [2, 2],
    ]);
    expect(file.initializations).toEqual([{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 2 }]);
    expect(lines(file)).toEqual([
      'vpContext fffffffff000',
      'area of 4096',
      'memoryMap at 0',
      'vpCount at 4080',
      'parameterInsert 808000',
      '800000 mask 2: 8 empty, type 0',
      '80a000 mask 2: 3 empty, type 0',
      '80d000 mask 2: 1 empty, type 1',
      '80e000 mask 2: 1 empty, type 2',
      '80f000 mask 2: 1 empty, type 0',
      '810000 mask 2: 1 empty, type 0',
      'f0000 mask 3: 16 data, type 0',
      '809000 mask 3: 1 data, type 0',
      'fffee000 mask 3: 2 data, type 0',
      'ffff0000 mask 3: 16 data, type 0',
    ]);
  });

  it('starts in protected mode from registers in the file, and then has no copy below 1 MiB', () => {
    const { directives } = wrap({ bootMode: 'flat32', parameters: false });
    expect(lines({ directives } as IgvmFile)).toEqual([
      'vpContext 0',
      '809000 mask 1: 1 data, type 0',
      'ffff0000 mask 1: 16 data, type 0',
    ]);
    const [context] = directives as [Extract<Directive, { type: 'vpContext' }>];
    const view = new DataView(context.data.buffer, context.data.byteOffset);
    // RIP, attributes of the code segment, CR0 (igvm_defs: IgvmNativeVpContextX64).
    expect([view.getBigUint64(0x80, true), view.getUint16(0xaa, true), view.getUint32(0xc8, true)]).toEqual([
      0xffff_fff0n,
      0xc09b,
      0x31,
    ]);
  });

  it("has the VMSA of the processor's reset state", () => {
    const { directives } = wrap({ native: false, snp: true, policy: 5n });
    const [{ data }] = directives as [Extract<Directive, { type: 'vpContext' }>];
    const view = new DataView(data.buffer, data.byteOffset);
    const fields = { cs: 0x10, efer: 0xd0, cr4: 0x148, cr0: 0x158, rflags: 0x170, rip: 0x178, features: 0x3b0 };
    expect(Object.entries(fields).map(([name, at]) => [name, view.getUint32(at, true)])).toEqual([
      ['cs', 0x9b_f000],
      ['efer', 0x1000],
      ['cr4', 0],
      ['cr0', 0x10],
      ['rflags', 0],
      ['rip', 0xfff0],
      ['features', 1],
    ]);
  });

  it.each<[string, Partial<WrapOptions> & { content?: Uint8Array }, string]>([
    ['no platform', { native: false }, 'IGVM_INVALID'],
    ['a size that is not a whole number of pages', { content: ovmfFirmware().subarray(1) }, 'IGVM_INVALID'],
    [
      'an area that does not start at a page',
      { content: ovmfFirmware({ igvm: [[0x80_0001, 0x1000, 0x100]] }) },
      'IGVM_INVALID',
    ],
    [
      'memory of SEV-SNP twice',
      { snp: true, content: ovmfFirmware({ sev: [...SEV_REGIONS, [0x80_0000, 0x1000, 2]] }) },
      'LAYOUT_OVERLAP',
    ],
    ['more than 4 GiB', { vars: { size: 2 ** 32, read: () => undefined } }, 'LAYOUT_OUT_OF_RANGE'],
  ])('is refused: %s', (_, options, code) => {
    expect(() => wrap(options)).toThrow(expect.objectContaining({ code }));
  });
});

describe("the description of OVMF's metadata", () => {
  it('names each region with its place and size', () => {
    expect([...describeOvmfTable(bytesSource(ovmfFirmware({ sev: SEV_REGIONS.slice(0, 1) })))]).toEqual([
      'sevMemory: GPA 0x800000, 0xd000 bytes\n',
      'parameterArea: GPA 0x808000, 0x1000 bytes\n',
      'memoryMap: offset 0x0, 0xff0 bytes\n',
      'vpCount: offset 0xff0, 0x4 bytes\n',
      `hobArea: GPA 0x${HOB_AREA.toString(16)}, 0x1000 bytes\n`,
    ]);
    expect([...describeOvmfTable(bytesSource(new Uint8Array(4096)))].join('')).toContain('no OVMF metadata');
  });
});

describe('pages of an image', () => {
  const page = (gpa: number, mask: number, pages = 1) =>
    dataPages(gpa, mask, bytesSource(new Uint8Array(pages * 4096).fill(gpa >> 12)))[0]!;

  it('are sorted by platform and address, and single where they interleave', () => {
    const gpas = inWrapOrder([page(0x3000, 8, 2), page(0x4000, 8, 2), page(0x1000, 8), page(0x9000, 1)]).map((each) =>
      each.type === 'pageData' ? [each.compatibilityMask, each.gpa, each.pageCount] : [],
    );
    expect(gpas).toEqual([
      [1, 0x9000, 1],
      [8, 0x1000, 1],
      [8, 0x3000, 1],
      [8, 0x4000, 1],
      [8, 0x4000, 1],
      [8, 0x5000, 1],
    ]);
  });

  it('must be filled only once for each platform with mask 1 or 2', () => {
    expect(() => checkNoPageTwice([page(0x3000, 1, 2), page(0x4000, 3)])).toThrow(/page at 0x4000 is filled twice/);
    expect(() =>
      checkNoPageTwice([page(0x3000, 4, 2), page(0x4000, 4), page(0x4000, 1), page(0x4000, 2)]),
    ).not.toThrow();
  });
});
