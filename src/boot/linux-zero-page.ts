import { IgvmError } from '../errors/igvm-error';
import { BOOT_PARAMS, HEADER_MAGIC } from '../loader/formats/bzimage';
import { linuxMemoryMap } from '../loader/linux/linux-memory';
import { E820, type E820Range, readE820Map, writeE820Map } from '../loader/linux/zero-page';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE } from '../memory/page';
import type { NativeContextFields } from '../vp-context/native';
import type { GuestPages } from './guest-pages';

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
