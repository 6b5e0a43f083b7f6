import { IgvmError } from '../errors/igvm-error';
import { linuxMemoryMap } from '../loader/linux-memory';
import { PAGE_SIZE } from '../memory/page';
import type { NativeGuest } from './native-guest';

/** Offsets in boot_params (Linux, Documentation/arch/x86/zero-page.rst and boot.rst). */
const FIELD = { e820Entries: 0x1e8, header: 0x202, commandLine: 0x228, e820Table: 0x2d0 };

/** "HdrS". */
const HEADER_MAGIC = 0x53726448;
const E820_ENTRY_SIZE = 20;

/** Bytes of a command line that an x86 kernel keeps, NUL included (Linux, COMMAND_LINE_SIZE). */
const KERNEL_COMMAND_LINE = 2048;

/** Linux' boot_params in an image; RSI points to it in the 64-bit boot protocol. */
export class LinuxZeroPage {
  private constructor(
    private readonly guest: NativeGuest,
    /** Bytes. */
    readonly gpa: number,
    private readonly view: DataView,
  ) {}

  /** The zero page, when the guest has one: a page at RSI with the magic of a Linux setup header. */
  static of(guest: NativeGuest): LinuxZeroPage | undefined {
    if (guest.context.rsi % BigInt(PAGE_SIZE) !== 0n || guest.context.rsi >> 32n !== 0n) return undefined;
    const gpa = Number(guest.context.rsi);
    const page = guest.pages.page(gpa);
    if (page === undefined) return undefined;
    const view = new DataView(page.buffer, page.byteOffset, page.length);
    return view.getUint32(FIELD.header, true) === HEADER_MAGIC ? new LinuxZeroPage(guest, gpa, view) : undefined;
  }

  get hasMemoryMap(): boolean {
    return this.view.getUint8(FIELD.e820Entries) !== 0;
  }

  /** Gives the kernel RAM from 0 to `memorySize` (bytes), but for the hole below 1 MiB. */
  setMemoryMap(memorySize: number): void {
    const ranges = linuxMemoryMap(memorySize);
    const table = new DataView(new ArrayBuffer(ranges.length * E820_ENTRY_SIZE));
    for (const [index, { start, end, type }] of ranges.entries()) {
      const at = index * E820_ENTRY_SIZE;
      table.setBigUint64(at, BigInt(start), true);
      table.setBigUint64(at + 8, BigInt(end - start), true);
      table.setUint32(at + 16, type, true);
    }
    this.guest.pages.write(this.gpa + FIELD.e820Table, new Uint8Array(table.buffer));
    this.guest.pages.write(this.gpa + FIELD.e820Entries, Uint8Array.of(ranges.length));
  }

  /**
   * Replaces the command line where the kernel looks for it.
   * @param text with a NUL behind it
   * @throws IgvmError BOOT_PARAMETER when the image has no page for it, or too little room
   */
  setCommandLine(text: Uint8Array): void {
    const gpa = this.view.getUint32(FIELD.commandLine, true);
    const room = Math.min(PAGE_SIZE - (gpa % PAGE_SIZE), KERNEL_COMMAND_LINE);
    if (gpa === 0 || !this.guest.pages.has(gpa, room)) {
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
    this.guest.pages.write(gpa, bytes);
  }
}
