import { IgvmError } from '../../errors/igvm-error';
import { PLATFORM_TYPE, type Directive } from '../../igvm/model';
import { streamDirectives } from '../../igvm/stream';
import { bytesSource, readAll } from '../../memory/byte-source';
import type { VpContextBuilder, VpContextPart, VpRegister } from '../../vp-context/vp-register';
import { GuestBuilder } from './guest-builder';
import type { GuestPlatform } from './guest-platform';

const PAGE = 4096;
const contextPart: VpContextPart = {
  kind: 'directive',
  directive: { type: 'vpContext', format: 'vbs', gpa: 0, compatibilityMask: 1, vpIndex: 0, data: new Uint8Array(8) },
};

function fakeContext(parts: VpContextPart[]): VpContextBuilder & { registers: VpRegister[]; pages: number[] } {
  const registers: VpRegister[] = [];
  const pages: number[] = [];
  return {
    registers,
    pages,
    canHold: (name) => name !== 'pat',
    setRegister: (register) => void registers.push(register),
    setContextPage: (page) => void pages.push(page),
    finish: () => parts,
  };
}

function platform(overrides: Partial<GuestPlatform> = {}): GuestPlatform {
  return {
    arch: 'x64',
    isolation: { type: 'none' },
    version: 1,
    header: {
      compatibilityMask: 1,
      highestVtl: 2,
      platformType: PLATFORM_TYPE.VSM_ISOLATION,
      platformVersion: 1,
      sharedGpaBoundary: 0n,
    },
    vpContext: fakeContext([contextPart]),
    nestedVpContext: () => {
      const inner = fakeContext([]);
      return { ...inner, serialize: () => Uint8Array.from([inner.registers.length]) };
    },
    ...overrides,
  };
}

const names = (directives: Directive[]): string[] =>
  directives.map((directive) => ('gpa' in directive ? `${directive.type} ${directive.gpa / PAGE}` : directive.type));

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return error instanceof IgvmError ? error.code : String(error);
  }
  return undefined;
}

describe('GuestBuilder', () => {
  it('puts imports first, then the VP context, parameter inserts by address, and page data in import order', () => {
    const guest = new GuestBuilder(platform());
    guest.importPages(9, 1, 'later', 'exclusive', new Uint8Array([1]));
    const high = guest.createParameterArea(5, 1, 'high');
    const low = guest.createParameterArea(3, 2, 'low', new Uint8Array([7]));
    guest.importParameter(low, 16, 'memoryMap');
    guest.requireMemory(0, 16, { vtl2Protectable: true });
    guest.importPages(1, 2, 'earlier', 'shared', bytesSource(new Uint8Array(0)));
    const { file, map } = guest.finish();
    expect([high, low]).toEqual([0, 1]);
    expect(names(file.directives)).toEqual([
      'parameterArea',
      'parameterArea',
      'parameter',
      'requiredMemory 0',
      'vpContext 0',
      'parameterInsert 3',
      'parameterInsert 5',
      'pageData 9',
      'pageData 1',
    ]);
    expect(map.acceptedRanges.map(({ tag }) => tag)).toEqual(['earlier', 'low', 'high', 'later']);
    expect(map.requiredMemory).toEqual([{ gpa: 0, size: 16 * PAGE, vtl2Protectable: true }]);
  });

  it('informs loaders about the isolation', () => {
    const snp = { type: 'snp', policy: 0n, injectionType: 'normal', secureAvic: 'disabled' } as const;
    expect(new GuestBuilder(platform({ isolation: { ...snp, sharedGpaBoundaryBits: 46 } })).isolation).toEqual({
      type: 'snp',
      paravisorPresent: true,
      sharedGpaBoundaryBits: 46,
    });
    expect(new GuestBuilder(platform({ isolation: { type: 'tdx', policy: 0n } })).isolation.sharedGpaBoundaryBits).toBe(
      47,
    );
    expect(new GuestBuilder(platform()).canHoldRegister('pat')).toBe(false);
  });

  it('has the guest policy as its first initialization header', () => {
    const guest = new GuestBuilder(platform({ policy: 5n }));
    guest.pageTableRelocation(0x10000, 4, 2, 0);
    expect(guest.finish().file.initializations).toEqual([
      { type: 'guestPolicy', policy: 5n, compatibilityMask: 1 },
      {
        type: 'pageTableRelocation',
        compatibilityMask: 1,
        vtl: 2,
        vpIndex: 0,
        gpa: 0x10000,
        size: 4 * PAGE,
        usedSize: 2 * PAGE,
      },
    ]);
  });

  it('refuses 4 GiB of required memory', () => {
    const guest = new GuestBuilder(platform());
    expect(codeOf(() => guest.requireMemory(0, 2 ** 20, { vtl2Protectable: true }))).toBe('LAYOUT_OUT_OF_RANGE');
  });

  it('refuses relocations that overlap, repeat or are not aligned', () => {
    const region = {
      gpa: 0x200000,
      size: 0x400000,
      alignment: 0x200000,
      minimumGpa: 0,
      maximumGpa: 0x40000000,
      applyPc: true,
      applyGdtr: true,
      vpIndex: 0,
    };
    const guest = new GuestBuilder(platform());
    guest.relocationRegion(region);
    expect(codeOf(() => guest.relocationRegion({ ...region, gpa: 0x400000 }))).toBe('LAYOUT_OVERLAP');
    expect(codeOf(() => guest.relocationRegion({ ...region, gpa: 0x701000 }))).toBe('IGVM_INVALID');
    expect(codeOf(() => guest.pageTableRelocation(0x5ff000, 4, 2, 0))).toBe('LAYOUT_OVERLAP');
    expect(codeOf(() => guest.pageTableRelocation(0x1000000, 4, 5, 0))).toBe('IGVM_INVALID');
    guest.pageTableRelocation(0x1000000, 4, 4, 0);
    expect(codeOf(() => guest.pageTableRelocation(0x2000000, 4, 4, 0))).toBe('IGVM_INVALID');
  });

  it('gives an inner guest its own registers, and its memory to the outer guest', () => {
    const vpContext = fakeContext([]);
    const guest = new GuestBuilder(platform({ vpContext }));
    const inner = guest.nested();
    inner.setRegister({ name: 'rip', value: 1n });
    inner.importPages(1, 1, 'uefi-image', 'exclusive', new Uint8Array(1));
    inner.relocationRegion({
      gpa: 0,
      size: PAGE,
      alignment: PAGE,
      minimumGpa: 0,
      maximumGpa: PAGE,
      applyPc: false,
      applyGdtr: false,
      vpIndex: 0,
    });
    expect(inner.takeVpContext()).toEqual(Uint8Array.from([1]));
    expect(vpContext.registers).toEqual([]);
    const { file } = guest.finish();
    expect(names(file.directives)).toEqual(['pageData 1']);
    expect(file.initializations).toMatchObject([{ type: 'relocatableRegion', vtl: 0, isVtl2: false }]);
  });

  it('turns the VMSA into a separate directive, padded to a page', () => {
    const vmsa = new Uint8Array(1648).fill(3);
    const parts: VpContextPart[] = [
      { kind: 'pages', pageBase: 7, pageCount: 1, acceptance: 'vpContext', data: vmsa },
      { kind: 'pages', pageBase: 2, pageCount: 1, acceptance: 'exclusive', data: new Uint8Array(3) },
    ];
    const guest = new GuestBuilder(
      platform({
        isolation: { type: 'snp', policy: 0n, injectionType: 'normal', secureAvic: 'disabled' },
        vpContext: fakeContext(parts),
      }),
    );
    const { file, map } = guest.finish();
    expect(names(file.directives)).toEqual(['vpContext 7', 'pageData 2']);
    const [context] = file.directives;
    expect(context).toMatchObject({ format: 'snp', vpIndex: 0 });
    expect(context?.type === 'vpContext' ? [context.data.length, context.data[1647], context.data[1648]] : []).toEqual([
      4096, 3, 0,
    ]);
    expect(map.acceptedRanges.map(({ tag }) => tag)).toEqual(['vp-context-page', 'vp-context-page']);
  });
});

describe("GuestBuilder for Linux with all of a guest's RAM", () => {
  const direct = (pageCount: number): GuestBuilder => new GuestBuilder(platform({ fixedRam: { pageCount } }));

  it('requires the RAM first and imports free RAM as empty pages, by ascending address', () => {
    const guest = direct(8);
    guest.importPages(5, 1, 'linux-kernel', 'exclusive', new Uint8Array(1));
    guest.importPages(2, 1, 'linux-zeropage', 'exclusive', new Uint8Array(1));
    const { file, map } = guest.finish();
    expect(names(file.directives)).toEqual([
      'requiredMemory 0',
      'vpContext 0',
      'pageData 0',
      'pageData 2',
      'pageData 3',
      'pageData 5',
      'pageData 6',
    ]);
    expect(file.directives[0]).toMatchObject({ size: 8 * PAGE, vtl2Protectable: false });
    expect(file.directives[4]).toMatchObject({ pageCount: 2, content: { size: 0 }, flags: 0, dataType: 0 });
    expect(map.acceptedRanges.map(({ tag }) => tag)).toEqual([
      'accepted-zero-ram',
      'linux-zeropage',
      'accepted-zero-ram',
      'linux-kernel',
      'accepted-zero-ram',
    ]);
  });

  it('refuses data that lies outside the RAM, even partly', () => {
    const guest = direct(8);
    guest.importPages(20, 2, 'linux-initrd', 'exclusive', new Uint8Array(1));
    guest.importPages(7, 2, 'linux-kernel', 'exclusive', new Uint8Array(1));
    expect(() => guest.finish()).toThrow(
      expect.objectContaining({
        code: 'LAYOUT_OUT_OF_RANGE',
        message: "the guest's 8 pages of memory are too few: it takes at least 22 to load",
        where: expect.objectContaining({ gpa: { start: 8 * PAGE, end: 22 * PAGE } }) as object,
      }),
    );
    expect(codeOf(() => direct(8).setVpContextPage(8))).toBe('LAYOUT_OUT_OF_RANGE');
  });
});

describe("GuestBuilder with OpenHCL's lists of other pages", () => {
  it('sorts page data, then appends hashes and the list of regions, filled while the pages are read', async () => {
    const guest = new GuestBuilder(platform());
    guest.importPages(40, 2, 'kernel', 'shared', new Uint8Array(PAGE).fill(1));
    guest.importPages(30, 1, 'boot-shim', 'exclusive', new Uint8Array(1));
    guest.importPages(20, 1, 'initrd', 'shared', new Uint8Array([2]));
    guest.setImportedRegionsPage(1);
    guest.setExpectedPageHashesPage(1000);
    const { file, map, observers } = guest.finish();
    expect(names(file.directives)).toEqual([
      'vpContext 0',
      'pageData 20',
      'pageData 30',
      'pageData 40',
      'pageData 1000',
      'pageData 1',
    ]);
    expect(map.acceptedRanges.map(({ tag }) => tag)).toEqual([
      'loader-imported-regions',
      'initrd',
      'boot-shim',
      'kernel',
      'loader-expected-page-hashes',
    ]);
    await streamDirectives(file, observers);

    const [hashes, regions] = file.directives
      .slice(-2)
      .map((directive) => (directive.type === 'pageData' ? readAll(directive.content, 2 ** 21) : new Uint8Array()));
    const { createHash, hash } = await import('node:crypto');
    const pages = [Buffer.alloc(PAGE), Buffer.alloc(PAGE, 1), Buffer.alloc(PAGE)];
    pages[0]?.set([2]);
    const header = Buffer.from('EPHS\x01\0\0\0\x03\0\0\0\0\0\0\0', 'latin1');
    const expected = Buffer.concat([header, ...pages.map((page) => hash('sha384', page, 'buffer'))]);
    expect(hashes?.length).toBe(256 * PAGE);
    expect(
      Buffer.from(hashes ?? [])
        .subarray(0, expected.length)
        .equals(expected),
    ).toBe(true);
    expect(hashes?.subarray(expected.length).every((byte) => byte === 0)).toBe(true);

    const all = createHash('sha384').update(Buffer.concat(pages)).digest('hex');
    const view = Buffer.from(regions ?? []);
    expect(view.subarray(0, 48).toString('hex')).toBe(all);
    const list = [0, 1, 2, 3, 4].map((index) => {
      const at = 48 + index * 24;
      return [Number(view.readBigUInt64LE(at)), Number(view.readBigUInt64LE(at + 8)), view[at + 16]];
    });
    expect(list).toEqual([
      [1, 1, 1],
      [20, 1, 0],
      [30, 1, 1],
      [40, 2, 0],
      [1000, 256, 1],
    ]);
    expect(view.length).toBe(48 + 5 * 24);
  });

  it('refuses more shared pages than the region has hashes for', () => {
    const sharing = (pages: number): string | undefined => {
      const guest = new GuestBuilder(platform());
      guest.importPages(0x10000, pages, 'kernel', 'shared', bytesSource(new Uint8Array(0)));
      guest.setImportedRegionsPage(1);
      return codeOf(() => guest.finish());
    };
    expect(sharing(21845)).toBeUndefined();
    expect(sharing(21846)).toBe('LAYOUT_OUT_OF_RANGE');
  });

  it('refuses more regions than the list holds, including the list itself', () => {
    const withRegions = (count: number): string | undefined => {
      const guest = new GuestBuilder(platform());
      for (let index = 0; index < count; index++) {
        guest.importPages(10 + index * 2, 1, 'data', 'exclusive', new Uint8Array());
      }
      guest.setImportedRegionsPage(1);
      return codeOf(() => guest.finish());
    };
    expect(withRegions(167)).toBeUndefined();
    expect(withRegions(168)).toBe('LAYOUT_OUT_OF_RANGE');
  });
});
