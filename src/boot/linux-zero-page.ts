import { IgvmError } from '../errors/igvm-error';
import { BOOT_PARAMS, HEADER_MAGIC } from '../loader/formats/bzimage';
import { linuxMemoryMap } from '../loader/linux/linux-memory';
import { E820, type E820Range, readE820Map, writeE820Map } from '../loader/linux/zero-page';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE } from '../memory/page';
import type { NativeContextFields } from '../vp-context/native';
import type { GuestPages } from './guest-pages';

/** Bytes of a command line that an x86 kernel keeps, NUL included (Linux, COMMAND_LINE_SIZE). */
const KERNEL_COMMAND_LINE = 2048;

/** What an RSDP begins with (ACPI 5.2.5.3). */
const RSDP_MARK = 'RSD PTR ';

/** Linux' boot_params in an image; RSI points to it in the 64-bit boot protocol. */
export class LinuxZeroPage {
  private constructor(
    private readonly pages: GuestPages,
    /** Bytes. */
    readonly gpa: number,
    private readonly view: DataView,
  ) {}

  /** The zero page, when the guest has one: a page at RSI with the magic of a Linux setup header. */
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

  /** End of the RAM below 4 GiB that its memory map has, in bytes; 0 without a map. */
  get ramEnd(): number {
    const ends = readE820Map(this.view).map(({ start, end, type }) => (type === E820.RAM && start < 2 ** 32 ? end : 0));
    return Math.max(0, ...ends);
  }

  /** Gives the kernel a VM's memory; see {@link vmMemoryMap}. @param memorySize bytes */
  setMemoryMap(memorySize: number): void {
    writeE820Map(this.view, vmMemoryMap(memorySize));
    this.writeBack();
  }

  /** Takes the image's own ACPI tables out, for a guest that gets its VMM's: their address, and what they are found by. */
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
   * Refuses a command line that the kernel would cut off: `cmdline_size` says how long a one it takes, and stays what it is. In the
   * images of some tools the field holds the length of the image's own command line; then it grows with the command line, as a
   * kernel that goes by it would miss the end.
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
   * @param text with a NUL behind it
   * @throws IgvmError BOOT_PARAMETER when the image has no page for it, or too little room
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

  /** Where the kernel looks for its command line, and how many bytes it keeps. GPA. */
  private commandLinePlace(): { gpa: number; room: number } {
    const gpa = this.view.getUint32(BOOT_PARAMS.cmd_line_ptr, true);
    return { gpa, room: Math.min(PAGE_SIZE - (gpa % PAGE_SIZE), KERNEL_COMMAND_LINE) };
  }

  /** Of the image's own command line, in bytes without NUL; undefined without one. */
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
 * What a guest that finds no tables of its VMM is told of a VM's memory: its first 2 GiB, as VMMs differ in where the rest is, and
 * devices and APICs lie in between.
 * @param memory bytes
 */
export const vmMemoryMap = (memory: number): E820Range[] => linuxMemoryMap(Math.min(memory, COMMON_MEMORY_LIMIT));
