import { crc32, sha256Hex } from '../../files/hashes';
import { readIgvm } from '../../igvm/read-igvm';
import { type IgvmFile, PAGE_DATA_TYPE, type PageDataDirective } from '../../igvm/model';
import { memorySink } from '../../igvm/file-data';
import { writeIgvm } from '../../igvm/write-igvm';
import { bytesSource } from '../../memory/byte-source';
import { encodeHobList, OVMF_ITEMS_START, type OvmfItem } from './hob-list';
import { HOB_AREA, ovmfFirmware } from './ovmf-firmware.fixture';
import { addPrograms, type OvmfPrograms, putIn, removePrograms } from './update';
import { secureBootVariables } from './secure-boot';
import { wrapFirmware, type WrapOptions } from './wrap';

const program = (size: number, byte: number) => bytesSource(new Uint8Array(size).fill(byte));
const EMPTY = bytesSource(new Uint8Array(0));
const KERNEL = program(0x2345, 0x11);
const SMALL_KERNEL = program(100, 0x22);
const SHIM = program(0x1000, 0x33);
const secureBoot = secureBootVariables({ profile: 'uefi23', hashes: [], arch: 'x64' });

async function bytesOf(file: IgvmFile): Promise<Uint8Array> {
  const sink = memorySink();
  await writeIgvm(file, sink, { crc32, sha256Hex, parameterOffsets: false });
  return sink.bytes();
}

/** A short value to compare files by, because Jest is slow at comparing so many bytes. */
const written = async (file: IgvmFile): Promise<string> => sha256Hex(await bytesOf(file));

/** The file after it has been written and read again. */
const stored = async (file: IgvmFile): Promise<IgvmFile> => readIgvm(await bytesOf(file), { validate: false });

const wrapped = (options: Partial<WrapOptions> = {}): IgvmFile =>
  wrapFirmware({
    firmware: bytesSource(ovmfFirmware()),
    native: true,
    snp: true,
    parameters: true,
    bootMode: 'real16',
    ...options,
  });

const updated = (base: IgvmFile, programs: OvmfPrograms): Promise<IgvmFile> => stored(addPrograms(base, programs));

const UPDATES: Record<string, OvmfPrograms> = {
  'a kernel': { kernel: KERNEL },
  'a shim and a kernel': { shim: SHIM, kernel: SMALL_KERNEL },
  'variables alone': { secureBoot },
  'variables and programs': { shim: SHIM, kernel: KERNEL, secureBoot },
  'a kernel without bytes': { kernel: EMPTY },
};
const names = Object.keys(UPDATES);
const REAL_UPDATES = names.filter((name) => name !== 'a kernel without bytes');

describe('programs in a finished image', () => {
  it.each(names)('are found: %s', async (name) => {
    const programs = UPDATES[name]!;
    const { items, pages } = putIn(await updated(wrapped(), programs));
    const expected = Object.entries({ ...programs.secureBoot, shim: programs.shim, kernel: programs.kernel })
      .filter(([, content]) => content !== undefined)
      .map(([item]) => item);
    expect(items.map((item) => item.name).sort()).toEqual(expected.sort());
    expect(pages.start).toBe(OVMF_ITEMS_START);
    expect(pages.end % 0x1000).toBe(0);
  });

  it.each(names.flatMap((first) => REAL_UPDATES.map((second) => [first, second] as const)))(
    'are replaced: %s by %s',
    async (first, second) => {
      const twice = addPrograms(await updated(wrapped(), UPDATES[first]!), UPDATES[second]!);
      expect(await written(twice)).toEqual(await written(addPrograms(wrapped(), UPDATES[second]!)));
    },
  );

  it.each(names.flatMap((name) => ['real16', 'flat32'].map((mode) => [name, mode as 'real16' | 'flat32'] as const)))(
    'are removed: %s, %s',
    async (name, bootMode) => {
      const base = wrapped({ bootMode, vars: program(0x3000, 0x44) });
      const once = await updated(base, UPDATES[name]!);
      expect(await written(removePrograms(once))).toEqual(await written(base));
      const twice = await updated(once, UPDATES['variables and programs']!);
      expect(await written(removePrograms(twice))).toEqual(await written(base));
    },
  );

  it('have nothing to remove in an image that was only wrapped', async () => {
    expect(putIn(await stored(wrapped())).items).toEqual([]);
    expect(await written(removePrograms(await stored(wrapped())))).toEqual(await written(wrapped()));
  });

  // igvm-update does the same and writes an identical file.
  it('keep their pages if an update has only empty programs, until the next update', async () => {
    const emptied = await updated(await updated(wrapped(), { secureBoot, kernel: KERNEL }), { kernel: EMPTY });
    const { items, pages } = putIn(emptied);
    expect(items).toEqual([{ name: 'kernel', address: OVMF_ITEMS_START, size: 0 }]);
    expect(pages.end).toBeGreaterThan(OVMF_ITEMS_START + KERNEL.size);
    expect(await written(removePrograms(emptied))).toEqual(await written(wrapped()));
    expect(await written(addPrograms(emptied, { shim: SHIM }))).toEqual(
      await written(addPrograms(wrapped(), { shim: SHIM })),
    );
  });
});

describe('a list of programs that was not made by an update', () => {
  const pages = (gpa: number, content = KERNEL): PageDataDirective => ({
    type: 'pageData',
    gpa,
    pageCount: 3,
    flags: 0,
    dataType: PAGE_DATA_TYPE.NORMAL,
    compatibilityMask: 3,
    content,
  });
  /** A wrapped image with this list instead of the empty one. */
  const withList = (list: Uint8Array, ...more: PageDataDirective[]): IgvmFile => {
    const file = wrapped();
    const directives = file.directives.filter((each) => each.type !== 'pageData' || each.gpa !== HOB_AREA);
    const page = { ...pages(HOB_AREA, bytesSource(list)), pageCount: 1 };
    return { ...file, directives: [...directives, page, ...more] };
  };
  const KERNEL_ITEM: OvmfItem = { name: 'kernel', address: OVMF_ITEMS_START, size: KERNEL.size };
  const patched = (at: number, value: number): Uint8Array => {
    const list = encodeHobList([KERNEL_ITEM]);
    list[at] = value;
    return list;
  };

  it('counts if it has the same form, wherever its pages come from', async () => {
    const file = await stored(withList(encodeHobList([KERNEL_ITEM]), pages(OVMF_ITEMS_START)));
    expect(await written(removePrograms(file))).toEqual(await written(wrapped()));
  });

  it.each<[string, Uint8Array, number]>([
    ['names the firmware', encodeHobList([{ ...KERNEL_ITEM, address: 0xffff_0000 }]), OVMF_ITEMS_START],
    ['names pages that are elsewhere', encodeHobList([KERNEL_ITEM]), OVMF_ITEMS_START + 0x1000],
    ['is longer than memory', encodeHobList([{ ...KERNEL_ITEM, size: 2 ** 50 }]), OVMF_ITEMS_START],
    [
      'has the order of another program',
      encodeHobList([KERNEL_ITEM, { ...KERNEL_ITEM, name: 'shim' }]),
      OVMF_ITEMS_START,
    ],
    ['has no item', encodeHobList([]), OVMF_ITEMS_START],
    ['has another kind of HOB', patched(0, 3), OVMF_ITEMS_START],
    ['has a HOB of another size', patched(2, 56), OVMF_ITEMS_START],
    ['has another GUID', patched(8, 0), OVMF_ITEMS_START],
    ['has another type of data', patched(40, 7), OVMF_ITEMS_START],
    ['has no end', new Uint8Array(4096).fill(4), OVMF_ITEMS_START],
  ])('is not removed or replaced if it %s', (_, list, at) => {
    const file = withList(list, pages(at));
    expect(putIn(file).items).toEqual([]);
    expect(() => removePrograms(file)).toThrow(/the list in the HOB area was not made by an update/);
    expect(() => addPrograms(file, { kernel: KERNEL })).toThrow(/is filled twice/);
  });

  it('leaves pages that an update does not make', () => {
    const secrets = { ...pages(OVMF_ITEMS_START), dataType: PAGE_DATA_TYPE.SECRETS };
    const native = { ...pages(OVMF_ITEMS_START), compatibilityMask: 1 };
    for (const run of [secrets, native]) {
      expect(putIn(withList(encodeHobList([KERNEL_ITEM]), run)).items).toEqual([]);
    }
  });
});
