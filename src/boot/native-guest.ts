/** The NATIVE guest of an image, as its VMM finds it: memory, the state of VP 0, parameters, and Linux' zero page. */
import { IgvmError, unreachable } from '../errors/igvm-error';
import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type ParameterKind, PLATFORM_TYPE } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
import { BOOT_PARAMS, HEADER_MAGIC } from '../loader/formats/bzimage';
import { linuxMemoryMap, E820, type E820Range, readE820Map, writeE820Map } from '../loader/linux/linux-direct';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE } from '../memory/page';
import { decodeNativeContext, type NativeContextFields } from '../vp-context/native';
import { startsAtResetVector } from './firmware-guest';
import { GuestPages, type PageRange } from './guest-pages';

/** A place in guest memory that the VMM fills before the guest starts. */
export interface GuestParameter {
  kind: ParameterKind;
  /** Bytes. */
  gpa: number;
  /** Bytes from `gpa` to the end of the parameter's area. */
  room: number;
}

/** The initial memory of an image's NATIVE x64 guest, and the state of VP 0. */
export interface NativeMemory {
  /** Includes parameter areas with their initial data. */
  pages: GuestPages;
  /** Undefined for firmware that starts in the reset state. */
  context: NativeContextFields | undefined;
  parameters: readonly GuestParameter[];
  /** The required memory from GPA 0 on that the image declares, in bytes. */
  memoryNeeded: number;
}

/** An image's NATIVE x64 guest that starts in a state of its own: its memory, this state, and what it expects of its VMM. */
export interface NativeGuest extends NativeMemory {
  context: NativeContextFields;
  /** Undefined unless the guest is Linux. */
  zeroPage: LinuxZeroPage | undefined;
  /** The memory that the guest needs from GPA 0 on, in bytes: up to the end of its pages and of required memory. */
  memoryNeeded: number;
}

/**
 * Reads the guest of an image, once for the whole boot.
 * @throws IgvmError BOOT_CONTEXT for firmware, and for an image without a context for VP 0; and as {@link nativeMemory} does
 */
export function nativeGuest(file: IgvmFile, memory: NativeMemory = nativeMemory(file)): NativeGuest {
  const { pages, context } = memory;
  if (startsAtResetVector(memory)) {
    throw new IgvmError(
      'BOOT_CONTEXT',
      'the image is firmware that starts at the reset vector, which cannot be converted to a PVH kernel',
    );
  }
  if (context === undefined) throw new IgvmError('BOOT_CONTEXT', 'the image has no VP context for VP 0');
  const zeroPage = LinuxZeroPage.of(pages, context);
  return { ...memory, context, zeroPage, memoryNeeded: Math.max(memory.memoryNeeded, pages.end) };
}

/**
 * Reads the initial memory and state of a NATIVE guest.
 * @throws IgvmError BOOT_PLATFORM without a NATIVE x64 guest; BOOT_CONTEXT for several contexts, or one for a VP other than VP 0;
 *   BOOT_LAYOUT for pages that only confidential guests have
 */
export function nativeMemory(file: IgvmFile): NativeMemory {
  const mask = nativeMask(file);
  const ranges: PageRange[] = [];
  const areas = new Map<number, PageRange>();
  const initialAreas = new Map<number, { size: number; content: PageRange['content'] }>();
  let context: NativeContextFields | undefined;
  let memoryNeeded = 0;
  for (const directive of file.directives) {
    if ('compatibilityMask' in directive && (directive.compatibilityMask & mask) === 0) continue;
    switch (directive.type) {
      case 'pageData':
        if (directive.dataType !== PAGE_DATA_TYPE.NORMAL || (directive.flags & PAGE_FLAG.IS_2MB_PAGE) !== 0) {
          throw new IgvmError('BOOT_LAYOUT', 'the image has pages of a kind that a NATIVE guest cannot use', {
            gpa: { start: directive.gpa, end: directive.gpa + directive.pageCount * PAGE_SIZE },
          });
        }
        ranges.push({ gpa: directive.gpa, size: directive.pageCount * PAGE_SIZE, content: directive.content });
        break;
      case 'parameterArea':
        initialAreas.set(directive.index, { size: directive.size, content: directive.initialData });
        break;
      case 'parameterInsert': {
        const area = initialAreas.get(directive.index);
        if (area === undefined) break;
        const range = { gpa: directive.gpa, ...area };
        areas.set(directive.index, range);
        ranges.push(range);
        break;
      }
      case 'vpContext':
        if (directive.vpIndex !== 0 || context !== undefined) {
          throw new IgvmError(
            'BOOT_CONTEXT',
            `the image starts VP ${directive.vpIndex} by itself, but a PVH boot starts only VP 0`,
          );
        }
        context = decodeNativeContext(directive.data);
        break;
      case 'requiredMemory':
        memoryNeeded = Math.max(memoryNeeded, directive.gpa + directive.size);
        break;
      default:
        break;
    }
  }
  const parameters = file.directives.flatMap((directive): GuestParameter[] => {
    if (directive.type !== 'parameter') return [];
    const area = areas.get(directive.index);
    if (area === undefined || directive.byteOffset >= area.size) return [];
    return [{ kind: directive.kind, gpa: area.gpa + directive.byteOffset, room: area.size - directive.byteOffset }];
  });
  return { pages: new GuestPages(ranges), context, parameters, memoryNeeded };
}

function nativeMask(file: IgvmFile): number {
  const native = file.platforms.find(({ platformType }) => platformType === PLATFORM_TYPE.NATIVE);
  if (file.arch === 'x64' && native !== undefined) return native.compatibilityMask;
  if (file.arch !== 'x64') {
    throw new IgvmError('BOOT_PLATFORM', 'the image is for aarch64, for which no supported VMM loads IGVM files');
  }
  const launchers = file.platforms.map(({ platformType }) => {
    const { label, host } = platformOf(platformType) ?? unreachable(`a file for platform ${platformType}`);
    return `${label} (${host} can start it)`;
  });
  throw new IgvmError('BOOT_PLATFORM', `the image has no NATIVE guest: it is for ${launchers.join(' and for ')}`);
}

/** The most bytes of a command line that an x86 kernel keeps, including NUL (Linux, COMMAND_LINE_SIZE). */
const KERNEL_COMMAND_LINE = 2048;

/** The signature of an RSDP (ACPI 5.2.5.3). */
const RSDP_MARK = 'RSD PTR ';

/** Linux' boot_params in an image; RSI points to it in the 64-bit boot protocol. */
export class LinuxZeroPage {
  private constructor(
    private readonly pages: GuestPages,
    /** Bytes. */
    readonly gpa: number,
    private readonly view: DataView,
  ) {}

  /** The zero page: a page at RSI with the magic of a Linux setup header. Undefined if there is none. */
  static of(pages: GuestPages, { rsi }: Pick<NativeContextFields, 'rsi'>): LinuxZeroPage | undefined {
    if (rsi % BigInt(PAGE_SIZE) !== 0n || rsi >> 32n !== 0n) return undefined;
    const gpa = Number(rsi);
    const page = pages.page(gpa);
    if (page === undefined) return undefined;
    const view = new DataView(page.buffer, page.byteOffset, page.length);
    return view.getUint32(BOOT_PARAMS.header, true) === HEADER_MAGIC ? new LinuxZeroPage(pages, gpa, view) : undefined;
  }

  get hasMemoryMap(): boolean {
    return this.view.getUint8(BOOT_PARAMS.e820_entries) !== 0;
  }

  /** End of the RAM below 4 GiB in its memory map, in bytes; 0 without a map. */
  get ramEnd(): number {
    const ends = readE820Map(this.view).map(({ start, end, type }) => (type === E820.RAM && start < 2 ** 32 ? end : 0));
    return Math.max(0, ...ends);
  }

  /** Describes a VM's memory to the kernel; see {@link vmMemoryMap}. @param memorySize bytes */
  setMemoryMap(memorySize: number): void {
    writeE820Map(this.view, vmMemoryMap(memorySize));
    this.writeBack();
  }

  /** Removes the image's own ACPI tables, for a guest that gets its VMM's: their address, and the signature that is searched for. */
  leaveOutAcpi(): void {
    const gpa = this.view.getBigUint64(BOOT_PARAMS.acpi_rsdp_addr, true);
    if (gpa === 0n) return;
    this.view.setBigUint64(BOOT_PARAMS.acpi_rsdp_addr, 0n, true);
    this.writeBack();
    const mark = gpa < 2n ** 32n ? this.pages.read(Number(gpa), RSDP_MARK.length) : undefined;
    if (mark !== undefined && new TextDecoder('latin1').decode(mark) === RSDP_MARK) {
      this.pages.write(Number(gpa), new Uint8Array(RSDP_MARK.length));
    }
  }

  /**
   * Refuses a command line that the kernel would truncate. `cmdline_size` is the longest that it accepts, and is not changed. In images
   * of some tools, however, the field is the length of the image's own command line. Then it grows with the command line, because a
   * kernel that relies on it would miss the end.
   * @param length bytes without NUL
   * @throws IgvmError BOOT_PARAMETER
   */
  fitCommandLine(length: number): void {
    const limit = this.view.getUint32(BOOT_PARAMS.cmdline_size, true);
    if (limit === 0 || length <= limit) return;
    if (limit !== this.commandLineLength()) {
      throw new IgvmError(
        'BOOT_PARAMETER',
        `the command line has ${length} bytes, and the image's kernel takes at most ${limit}`,
      );
    }
    this.view.setUint32(BOOT_PARAMS.cmdline_size, length, true);
    this.writeBack();
  }

  /**
   * Replaces the command line where the kernel looks for it; see {@link fitCommandLine}.
   * @param text ends with a NUL
   * @throws IgvmError BOOT_PARAMETER if the image has no page for it, or not enough room
   */
  setCommandLine(text: Uint8Array): void {
    const { gpa, room } = this.commandLinePlace();
    if (gpa === 0 || !this.pages.has(gpa, room)) {
      throw new IgvmError('BOOT_PARAMETER', 'the image has no place for a command line');
    }
    if (text.length > room) {
      throw new IgvmError(
        'BOOT_PARAMETER',
        `the command line has ${text.length - 1} bytes and there is room for ${room - 1}`,
      );
    }
    const bytes = new Uint8Array(room);
    bytes.set(text);
    this.pages.write(gpa, bytes);
  }

  /** The GPA of the kernel's command line, and the number of bytes that the kernel keeps. */
  private commandLinePlace(): { gpa: number; room: number } {
    const gpa = this.view.getUint32(BOOT_PARAMS.cmd_line_ptr, true);
    return { gpa, room: Math.min(PAGE_SIZE - (gpa % PAGE_SIZE), KERNEL_COMMAND_LINE) };
  }

  /** The length of the image's own command line, in bytes without NUL; undefined without one. */
  private commandLineLength(): number | undefined {
    const { gpa, room } = this.commandLinePlace();
    const end = this.pages.read(gpa, room)?.indexOf(0);
    return end === -1 ? undefined : end;
  }

  private writeBack(): void {
    this.pages.write(this.gpa, new Uint8Array(this.view.buffer, this.view.byteOffset, PAGE_SIZE));
  }
}

/**
 * The memory map for a guest without tables from its VMM: the first 2 GiB of a VM's memory. VMMs differ in where the rest is, with
 * devices and APICs in between.
 * @param memory bytes
 */
export const vmMemoryMap = (memory: number): E820Range[] => linuxMemoryMap(Math.min(memory, COMMON_MEMORY_LIMIT));
