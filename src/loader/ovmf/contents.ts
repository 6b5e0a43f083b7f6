/**
 * The parts of an image of OVMF: where they lie, their names in map files, pages and comparisons, and which of them are
 * measured.
 */
import { IgvmError } from '../../errors/igvm-error';
import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PageDataDirective } from '../../igvm/model';
import { type ByteSource, regionSource } from '../../memory/byte-source';
import { alignUp, PAGE_SIZE } from '../../memory/page';
import type { TaggedRange } from '../../regions/image-map';
import { hexOfGuid, type OvmfRegion, type OvmfRegionKind, readOvmfTable } from '../formats/ovmf-table';
import { hasPage, type OvmfItem, type OvmfItemName } from './hob-list';
import { isUki } from '../../uki/uki';
import { putIn } from './update';

/** The facts of a file that {@link ovmfRegionNames} needs. */
export interface OvmfParts {
  firmware: ByteSource;
  /** Bytes; 0 without a variable store before the firmware. */
  varsSize: number;
  /** Whether a copy of the firmware's last part is below 1 MiB. */
  hasLowCopy: boolean;
  /** What an update put in. */
  items: readonly OvmfItem[];
  /** The name of the kernel. */
  kernel: 'uki' | 'linux-kernel';
}

const FOUR_GIB = 2 ** 32;
const LOW_COPY = { end: 2 ** 20, most: 128 * 1024 };

const REGION_NAMES: Partial<Record<OvmfRegionKind, string>> = {
  sevMemory: 'sev-memory',
  sevSecrets: 'sev-secrets',
  sevCpuid: 'sev-cpuid',
  sevCallingArea: 'sev-calling-area',
  sevKernelHashes: 'sev-kernel-hashes',
};

const ITEM_NAMES: Record<Exclude<OvmfItemName, 'kernel'>, string> = {
  pk: 'secure-boot-pk',
  kek: 'secure-boot-kek',
  db: 'secure-boot-db',
  dbx: 'secure-boot-dbx',
  shim: 'shim',
};

/**
 * Names by ascending address, without overlaps. The areas that the firmware requests are named where nothing else lies.
 */
export function ovmfRegionNames({ firmware, varsSize, hasLowCopy, items, kernel }: OvmfParts): TaggedRange[] {
  const regions = readOvmfTable(firmware) ?? [];
  const named: TaggedRange[] = [];
  const add = (tag: string, gpa: number, size: number): void => {
    if (size > 0) named.push({ tag, gpa, end: gpa + alignUp(size, PAGE_SIZE) });
  };
  const first = (kind: OvmfRegionKind): OvmfRegion | undefined => regions.find((region) => region.kind === kind);
  if (hasLowCopy) add('ovmf-code-low', LOW_COPY.end - lowSize(firmware), lowSize(firmware));
  for (const { name, address, size } of items) add(name === 'kernel' ? kernel : ITEM_NAMES[name], address, size);
  add('ovmf-vars', FOUR_GIB - firmware.size - varsSize, varsSize);
  add('ovmf-code', FOUR_GIB - firmware.size, firmware.size);
  add('ovmf-hob', first('hobArea')?.base ?? 0, first('hobArea') === undefined ? 0 : 1);
  const area = first('parameterArea');
  add('ovmf-parameters', area?.base ?? 0, area?.size ?? 0);
  const fixed = [...named].sort((a, b) => a.gpa - b.gpa);
  for (const { kind, base, size } of regions) {
    const tag = REGION_NAMES[kind];
    if (tag !== undefined) named.push(...outside({ tag, gpa: base, end: base + alignUp(size, PAGE_SIZE) }, fixed));
  }
  return named.sort((a, b) => a.gpa - b.gpa);
}

/** The parts of a range outside other ranges. @param taken by ascending address */
function outside({ tag, gpa, end }: TaggedRange, taken: readonly TaggedRange[]): TaggedRange[] {
  const parts: TaggedRange[] = [];
  let start = gpa;
  for (const other of taken) {
    if (other.end <= start || other.gpa >= end) continue;
    if (other.gpa > start) parts.push({ tag, gpa: start, end: other.gpa });
    start = other.end;
  }
  return start < end ? [...parts, { tag, gpa: start, end }] : parts;
}

const lowSize = (firmware: ByteSource): number => Math.min(LOW_COPY.most, firmware.size);

/** EFI_FIRMWARE_VOLUME_HEADER of a variable store: EFI_SYSTEM_NV_DATA_FV_GUID, and its length (UEFI PI specification, volume 3). */
const VARIABLE_VOLUME = {
  headerSize: 0x30,
  guid: 16,
  length: 32,
  name: hexOfGuid('fff12b8d-7696-4c8b-a985-2747075b4f50'),
};

/**
 * The parts of a file that our `wrap` and `update` or those of virtfw made, from the metadata at the end of the
 * firmware. A variable store is recognised by the header of its volume.
 * @returns undefined when the file has no firmware with metadata of OVMF
 * @throws what the file's sources throw
 */
export function ovmfParts(file: IgvmFile): OvmfParts | undefined {
  const flash = flashOf(file);
  const regions = readOvmfTable(flash);
  if (regions === undefined || regions.length === 0) return undefined;
  const varsSize = variableStore(flash);
  const firmware = regionSource(flash, varsSize, flash.size - varsSize);
  const items = regions.some(({ kind }) => kind === 'hobArea') ? putIn(file).items : [];
  const kernel = items.find(({ name, size }) => name === 'kernel' && size > 0);
  return {
    firmware,
    varsSize,
    hasLowCopy: file.directives.some(
      (each) => hasPage(each, LOW_COPY.end - PAGE_SIZE) && each.content.size > 0 && each.flags === 0,
    ),
    items,
    kernel: kernel !== undefined && isUki(contentOf(file, kernel)) ? 'uki' : 'linux-kernel',
  };
}

/** The contents of an item. Its pages exist: `putIn` returns only such items. */
function contentOf({ directives }: IgvmFile, { address, size }: OvmfItem): ByteSource {
  const runs = directives.filter(
    (each): each is PageDataDirective =>
      each.type === 'pageData' &&
      each.gpa < address + size &&
      each.gpa + each.content.size > address &&
      each.content.size > 0,
  );
  return pagesOf(
    runs.sort((a, b) => a.gpa - b.gpa),
    address,
    size,
  );
}

/** The pages with data that end at 4 GiB, without a gap. If platforms differ, pages of any platform count. */
function flashOf(file: IgvmFile): ByteSource {
  const runs: PageDataDirective[] = [];
  let start = FOUR_GIB;
  const candidates = file.directives.filter(
    (each): each is PageDataDirective => each.type === 'pageData' && each.gpa < FOUR_GIB && each.content.size > 0,
  );
  for (const run of candidates.sort((a, b) => b.gpa - a.gpa)) {
    // Only a file that has just been built has a short last page, and firmware never ends with padding.
    if (run.gpa + run.content.size !== start || run.dataType !== PAGE_DATA_TYPE.NORMAL) break;
    runs.unshift(run);
    start = run.gpa;
  }
  return pagesOf(runs, start, FOUR_GIB - start);
}

/** Bytes of memory from `start` on. @param runs by ascending address, without a gap */
function pagesOf(runs: readonly PageDataDirective[], start: number, size: number): ByteSource {
  return {
    size,
    read(offset, target) {
      for (let done = 0; done < target.length; ) {
        const at = start + offset + done;
        const run = runs[lastFrom(runs, at)]!;
        const count = Math.min(target.length - done, run.gpa + run.content.size - at);
        // In a file that no update made, runs of several platforms may overlap.
        if (run.gpa > at || count <= 0) throw new IgvmError('OVMF_UNSUITABLE', 'pages of the image overlap');
        run.content.read(at - run.gpa, target.subarray(done, done + count));
        done += count;
      }
    },
  };
}

/** Index of the last run that begins at or before an address. */
function lastFrom(runs: readonly PageDataDirective[], gpa: number): number {
  let [low, high] = [0, runs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (runs[middle]!.gpa <= gpa) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Bytes of the variable store at the start of a flash image; 0 if there is none. */
function variableStore(flash: ByteSource): number {
  const { headerSize, guid, length, name } = VARIABLE_VOLUME;
  if (flash.size < headerSize) return 0;
  const header = new Uint8Array(headerSize);
  flash.read(0, header);
  if (Buffer.from(header.subarray(guid, guid + 16)).toString('hex') !== name) return 0;
  const size = Number(new DataView(header.buffer).getBigUint64(length, true));
  return size % PAGE_SIZE === 0 && size < flash.size ? size : 0;
}

/** The parts of an OVMF image that a launch measurement covers, and those that it doesn't. */
export interface MeasuredParts {
  measured: string[];
  unmeasured: string[];
  /** Whether the firmware checks the unmeasured programs, by db and dbx. */
  hasSecureBoot: boolean;
}

/** The variables' usual names. */
export const PART_NAMES: Readonly<Record<OvmfItemName, string>> = {
  pk: 'PK',
  kek: 'KEK',
  db: 'db',
  dbx: 'dbx',
  shim: 'shim',
  kernel: 'kernel',
};

/** @param file the file of `parts`, whose page flags decide */
export function measuredParts(file: IgvmFile, { varsSize, items, kernel }: Omit<OvmfParts, 'firmware'>): MeasuredParts {
  const measured = [
    'firmware',
    ...(varsSize > 0 ? ['variable store'] : []),
    ...(items.length > 0 ? ['list of programs'] : []),
  ];
  const unmeasured: string[] = [];
  for (const { name, address, size } of items) {
    if (size === 0) continue;
    const run = file.directives.find((each): each is PageDataDirective => hasPage(each, address));
    const isMeasured = run === undefined || (run.flags & PAGE_FLAG.UNMEASURED) === 0;
    (isMeasured ? measured : unmeasured).push(name === 'kernel' && kernel === 'uki' ? 'UKI' : PART_NAMES[name]);
  }
  if (file.directives.some(({ type }) => type === 'parameterInsert')) unmeasured.push('what the VMM fills in');
  return { measured, unmeasured, hasSecureBoot: items.some(({ name }) => name === 'pk') };
}

/** The same as text. */
export function measuredText({ measured, unmeasured, hasSecureBoot }: MeasuredParts): string {
  const programs = unmeasured.filter((part) => ['shim', 'kernel', 'UKI'].includes(part));
  return [
    `measured: ${measured.join(', ')}`,
    ...(unmeasured.length === 0 ? [] : [`not measured: ${unmeasured.join(', ')}`]),
    ...(programs.length > 0 && hasSecureBoot ? [`the firmware checks ${programs.join(' and ')} by db and dbx`] : []),
  ].join('; ');
}
