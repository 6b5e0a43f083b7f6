import { hex } from '../../errors/hex';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { GPA_LIMIT } from '../../memory/guest-limits';
import { PAGE_SIZE, alignUp } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { loadStaticElf } from '../guest/elf';
import type { ImageImporter } from '../guest/importer';
import type { LinuxLoadInfo } from '../guest/kernel';
import { SNP_LINUX_MAP } from './linux-memory-map';

/** Name in the map file, and in messages. */
const SHIM_TAG = 'snp-bootshim';

/** The shim's parameters: one page, whose header ranges of memory follow (openvmm vm/loader/loader_defs: snp_bootshim). */
const PARAMETERS = { magic: 'SNPBSHIM', version: 1, headerSize: 0x30, rangeSize: 16 } as const;
const MOST_RANGES = (PAGE_SIZE - PARAMETERS.headerSize) / PARAMETERS.rangeSize;

/** What runs before the kernel, and how much memory the guest has. */
export interface ShimmedGuest {
  linux: LinuxLoadInfo;
  /** RAM from GPA 0 on. */
  memoryPageCount: number;
}

/**
 * Loads openvmm's boot shim behind everything else and gives it the list of the memory that the image doesn't have, which it
 * accepts before it starts the kernel (openvmm igvmfilegen/src/snp_linux_direct.rs). Called when all else is imported.
 * @returns where the processor starts instead of at the kernel, and with what in RSI
 * @throws IgvmError KERNEL_INVALID for a file that is no shim, LAYOUT_OUT_OF_RANGE, LAYOUT_OVERLAP
 */
export function importSnpBootShim(
  importer: ImageImporter,
  shim: ByteSource,
  { linux, memoryPageCount }: ShimmedGuest,
): { rip: bigint; rsi: bigint } {
  const base = shimBase(importer, linux);
  const { nextAddress: parameters, entrypoint } = loadStaticElf(importer, shim, {
    startAddress: 0,
    loadOffset: base,
    assumePic: false,
    acceptance: 'exclusive',
    tag: SHIM_TAG,
  });
  if (parameters + PAGE_SIZE > memoryPageCount * PAGE_SIZE) {
    throw outOfMemory(
      `the guest's ${memoryPageCount} pages of memory are too few: with ${SHIM_TAG} and its parameters it takes at least ${parameters / PAGE_SIZE + 1}`,
      { start: base, end: parameters + PAGE_SIZE },
    );
  }
  const parameterPage = parameters / PAGE_SIZE;
  const ranges = importer.freePages(memoryPageCount).flatMap((gap) => withoutPage(gap, parameterPage));
  if (ranges.length > MOST_RANGES) {
    throw outOfMemory(
      `the memory that ${SHIM_TAG} has to accept lies in ${ranges.length} separate ranges, and its parameters have room for ${MOST_RANGES}`,
      { start: parameters, end: parameters + PAGE_SIZE },
    );
  }
  const content = new StructWriter()
    .ascii(PARAMETERS.magic)
    .u32(PARAMETERS.version, ranges.length)
    .u64(linux.kernel.entrypoint, SNP_LINUX_MAP.zeroPage.gpa, memoryPageCount * PAGE_SIZE, 0);
  for (const { pageBase, pageCount } of ranges) content.u64(pageBase, pageCount);
  importer.importPages(parameterPage, 1, 'snp-bootshim-params', 'exclusive', content.finish());
  importer.acceptAtBoot(ranges, 'snp-bootshim-accepted-ram');
  const accepted = ranges.reduce((sum, { pageCount }) => sum + pageCount, 0);
  importer.note(
    `the image is sparse, as igvmfilegen writes it since August 2026: ${SHIM_TAG} accepts ${accepted} of ${memoryPageCount} pages at boot`,
  );
  return { rip: entrypoint, rsi: BigInt(parameters) };
}

/** The first page behind all that is imported, and behind the memory in which the kernel unpacks itself. GPA. */
function shimBase(importer: ImageImporter, { kernel }: LinuxLoadInfo): number {
  if (kernel.end > BigInt(GPA_LIMIT)) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel needs memory up to ${hex(kernel.end)}, which leaves no place for ${SHIM_TAG}`,
    );
  }
  return alignUp(Math.max(importer.endOfImports(), Number(kernel.end)), PAGE_SIZE);
}

type Gap = ReturnType<ImageImporter['freePages']>[number];

/** What is left of a gap without one page. */
function withoutPage({ pageBase, pageCount }: Gap, page: number): Gap[] {
  const end = pageBase + pageCount;
  if (page < pageBase || page >= end) return [{ pageBase, pageCount }];
  return [
    { pageBase, pageCount: page - pageBase },
    { pageBase: page + 1, pageCount: end - page - 1 },
  ].filter((rest) => rest.pageCount > 0);
}

const outOfMemory = (message: string, gpa: { start: number; end: number }): IgvmError =>
  new IgvmError('LAYOUT_OUT_OF_RANGE', message, { jsonPath: 'image.snp_linux_direct.memory_page_count', gpa });
