import { IgvmError, type JsonPath } from '../../errors/igvm-error';
import type { ProductPolicy } from '../../manifest/model';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { GPA_LIMIT, PAGE_SIZE } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import type { ImageImporter } from '../guest/importer';
import { LARGE_PAGE_SIZE } from '../guest/kernel';
import type { Vtl0Image } from './openhcl-vtl0';

/** A range of guest memory in bytes. */
export interface MemoryRange {
  gpa: number;
  size: number;
}

/** Allocates guest memory upwards from an address, each range right after the previous one. */
export class UpwardLayout {
  /** @param next first free GPA; a part that determines its own size moves it */
  constructor(public next: number) {}

  /** @param size bytes */
  take(size: number): MemoryRange {
    const range = { gpa: this.next, size };
    this.next += size;
    return range;
  }
}

/** An OpenHCL guest: the paravisor's parts, its memory, and the image that it starts. */
export interface OpenhclGuest {
  kernel: ByteSource;
  bootShim: ByteSource;
  initrd: ByteSource;
  /** Kernel of the processors that the paravisor leaves idle. x64 only; upstream ignores it on aarch64, and so do we. */
  sidecar?: ByteSource;
  commandLine: string;
  /** Whether the host must not append to the command line. */
  staticCommandLine: boolean;
  /** First page of the paravisor's memory. If absent, it is at 128 MiB, and the host may move it. */
  memoryPageBase?: bigint;
  memoryPageCount: bigint;
  vtl0: Vtl0Image;
  productPolicy?: ProductPolicy;
}

/** The paravisor's default place, and the lowest address that it may be relocated to. */
export const DEFAULT_MEMORY_BASE = 128 * 2 ** 20;

/** End of the addresses that the paravisor may be relocated to. */
export const RELOCATION_LIMIT = 2 ** 48;

/** Reserved at the start of the memory for state that survives a restart of the paravisor. Bytes. */
export const PERSISTED_STATE_SIZE = LARGE_PAGE_SIZE;

/** The boot shim's log and heap: loaded, so that it need not accept the memory first. Bytes. */
const LOG_SIZE = 2 * PAGE_SIZE;
const HEAP_SIZE = 16 * PAGE_SIZE;

/** Adds the option that an error is about. */
function blaming<T>(jsonPath: JsonPath, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ jsonPath }) : error;
  }
}

/** The option that decides where the paravisor's memory ends. */
const placedBy = ({ memoryPageBase }: OpenhclGuest): JsonPath => [
  'image',
  'openhcl',
  memoryPageBase === undefined ? 'memory_page_count' : 'memory_page_base',
];

/**
 * Runs `map`, which maps the paravisor's memory. If it fails, the cause is the place or the size of that memory.
 * @throws IgvmError from `map`, with the option that says so
 */
export const mappingMemory = <T>(guest: OpenhclGuest, map: () => T): T => blaming(placedBy(guest), map);

/**
 * Requires the paravisor's memory, which the host has to protect from VTL0 if there is a VTL2.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE unless it is made of whole 2 MiB pages, less than 4 GiB of them
 */
export function requireOpenhclMemory(importer: ImageImporter, guest: OpenhclGuest): MemoryRange {
  const base = guest.memoryPageBase ?? BigInt(DEFAULT_MEMORY_BASE / PAGE_SIZE);
  const largePages = BigInt(LARGE_PAGE_SIZE / PAGE_SIZE);
  for (const [name, pages] of [
    ['memory_page_base', base],
    ['memory_page_count', guest.memoryPageCount],
  ] as const) {
    if (pages % largePages !== 0n) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `${name} of openhcl must be a multiple of ${largePages} (2 MiB), and it is ${pages}`,
        { jsonPath: ['image', 'openhcl', name] },
      );
    }
  }
  if (base * BigInt(PAGE_SIZE) >= GPA_LIMIT) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', 'the memory of openhcl lies beyond the 52 bits of a guest address', {
      jsonPath: placedBy(guest),
    });
  }
  const pageCount = Number(guest.memoryPageCount);
  blaming(['image', 'openhcl', 'memory_page_count'], () =>
    importer.requireMemory(Number(base), pageCount, { vtl2Protectable: importer.isolation.paravisorPresent }),
  );
  return { gpa: Number(base) * PAGE_SIZE, size: pageCount * PAGE_SIZE };
}

/** Bytes in the command line's page after policy and length. */
const COMMAND_LINE_LIMIT = PAGE_SIZE - 4;
const POLICY = { STATIC: 0, APPEND_CHOSEN: 1 };

/**
 * Imports the paravisor's command line: one page (loader_defs/src/paravisor.rs: ParavisorCommandLine).
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when it is too long
 */
export function importOpenhclCommandLine(importer: ImageImporter, gpa: number, guest: OpenhclGuest): void {
  const text = new TextEncoder().encode(guest.commandLine);
  if (text.length > COMMAND_LINE_LIMIT) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the command line of openhcl has ${text.length} bytes, and there is room for ${COMMAND_LINE_LIMIT}`,
      { jsonPath: ['image', 'openhcl', 'command_line'] },
    );
  }
  const page = new StructWriter()
    .u16(guest.staticCommandLine ? POLICY.STATIC : POLICY.APPEND_CHOSEN, text.length)
    .raw(text)
    .zeros(COMMAND_LINE_LIMIT - text.length)
    .finish();
  importer.importPages(gpa / PAGE_SIZE, 1, 'underhill-command-line', 'exclusive', page);
}

/** Imports the boot shim's log buffer at `gpa` and its heap after it; both are empty. */
export function importShimMemory(importer: ImageImporter, gpa: number): { logBuffer: MemoryRange; heap: MemoryRange } {
  const logBuffer = { gpa, size: LOG_SIZE };
  const heap = { gpa: gpa + LOG_SIZE, size: HEAP_SIZE };
  for (const [tag, range] of [
    ['ohcl-boot-shim-log-buffer', logBuffer],
    ['ohcl-boot-shim-heap', heap],
  ] as const) {
    importer.importPages(range.gpa / PAGE_SIZE, range.size / PAGE_SIZE, tag, 'exclusive', EMPTY_SOURCE);
  }
  return { logBuffer, heap };
}

/** @throws IgvmError LAYOUT_OUT_OF_RANGE when the paravisor's parts need more than its memory */
export function checkMemorySuffices(memory: MemoryRange, usedEnd: number): void {
  const used = usedEnd - memory.gpa;
  if (used > memory.size) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `openhcl takes ${used / PAGE_SIZE} pages of memory to load, and memory_page_count is ${memory.size / PAGE_SIZE}`,
      { jsonPath: ['image', 'openhcl', 'memory_page_count'], gpa: { start: memory.gpa, end: usedEnd } },
    );
  }
}
