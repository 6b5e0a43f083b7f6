import { crc32 } from 'node:zlib';
import { unreachable } from '../../errors/igvm-error';
import type { PageDataDirective, ParameterKind } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import type { ProductPolicy } from '../../manifest/model';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import type { ImageImporter } from '../guest/importer';
import { deferredSource, EXPECTED_PAGE_HASHES_PAGES } from '../guest/paravisor-pages';
import type { MemoryRange } from './openhcl';
import { encodeProductPolicy } from './product-policy';

/**
 * The areas at the start of the region that the VMM fills, in this order and without gaps
 * (loader_defs/src/paravisor.rs).
 */
const PARAMETERS: readonly { tag: string; kind: ParameterKind; pages: number }[] = [
  { tag: 'underhill-slit', kind: 'slit', pages: 20 },
  { tag: 'underhill-pptt', kind: 'pptt', pages: 20 },
  { tag: 'underhill-device-tree', kind: 'deviceTree', pages: 64 },
];

/**
 * The measured part after the parameters: the list of imported regions, the configuration, the hashes of shared pages.
 */
const IMPORTED_REGIONS = PARAMETERS.reduce((pages, parameter) => pages + parameter.pages, 0);
const MEASURED_CONFIG = IMPORTED_REGIONS + 1;
const PAGE_HASHES = MEASURED_CONFIG + 1;

/** Pages of VTL2's configuration region. */
export const CONFIG_REGION_PAGES = PAGE_HASHES + EXPECTED_PAGE_HASHES_PAGES;

/** "OHCLVTL2", read as a big-endian number. */
const MAGIC = 0x4f48434c56544c32n;

/** Magic, vTOM bit with padding, length of the policy, reserved; the policy follows. */
const CONFIG_SIZE = 24;

/** Creates the parameter areas that the VMM fills. */
export function importConfigParameters(importer: ImageImporter, regionPage: number): void {
  let page = regionPage;
  for (const { tag, kind, pages } of PARAMETERS) {
    importer.importParameter(importer.createParameterArea(page, pages, tag), 0, kind);
    page += pages;
  }
}

/**
 * Imports VTL2's measured configuration, and sets the places of the pages that the guest builder fills.
 * @param vtomBit address bit of the shared GPA boundary; 0 if there is none
 * @throws IgvmError CONFIG_UNSUPPORTED, MANIFEST_INVALID for the policy
 */
export function importMeasuredConfig(
  importer: ImageImporter,
  regionPage: number,
  vtomBit: number,
  policy: ProductPolicy | undefined,
): void {
  const encoded = policy === undefined ? new Uint8Array(0) : encodeProductPolicy(policy, PAGE_SIZE - CONFIG_SIZE);
  const config = new StructWriter().u64(MAGIC).u8(vtomBit).zeros(7).u32(encoded.length, 0).raw(encoded).finish();
  importer.importPages(regionPage + MEASURED_CONFIG, 1, 'underhill-vtl2-measured-config', 'exclusive', config);
  importer.setImportedRegionsPage(regionPage + IMPORTED_REGIONS);
  importer.setExpectedPageHashesPage(regionPage + PAGE_HASHES);
}

/** The parameters of OpenHCL's boot shim (openvmm vm/loader/loader_defs/src/shim.rs: ShimParamsRaw). GPAs in bytes. */
export interface ShimParams {
  /** Where the shim itself lies: all parameters are relative to this. */
  shimBase: number;
  kernelEntry: bigint;
  commandLine: number;
  initrd: MemoryRange;
  memory: MemoryRange;
  parameters: MemoryRange;
  /** Absent ranges are encoded as offset 0 and size 0. */
  reserved?: MemoryRange;
  sidecar?: MemoryRange & { entry: bigint };
  /** End of the memory that the loader filled; it starts where the memory does. */
  usedEnd: number;
  bounceBuffer?: MemoryRange;
  logBuffer: MemoryRange;
  heap: MemoryRange;
  persistedState: MemoryRange;
}

/** Size of the encoded parameters. */
const SHIM_PARAMS_SIZE = 192;

/** The shim asks the CPU whether VBS isolates it, so guests without isolation are encoded as VBS. */
const ISOLATION = { none: 1, vbs: 1, snp: 2, tdx: 3 } as const;

/** CRC32 of an initrd, computed while its pages are streamed, so that it is not read twice. */
export class InitrdChecksum implements DirectiveObserver {
  private seen = 0;
  private checksum = 0;

  /**
   * @param gpa where the initrd lies in guest memory, page-aligned
   * @param size of the initrd in bytes, without the padding of its last page
   */
  constructor(
    private readonly gpa: number,
    private readonly size: number,
  ) {}

  pages(run: PageDataDirective, firstPage: number, _pageCount: number, bytes: Uint8Array | undefined): void {
    const offset = run.gpa + firstPage * PAGE_SIZE - this.gpa;
    if (offset < 0 || offset >= this.size) return;
    if (bytes === undefined || offset !== this.seen) unreachable('the pages of an initrd out of order');
    const part = bytes.subarray(0, Math.min(bytes.length, this.size - offset));
    this.checksum = crc32(part, this.checksum);
    this.seen += part.length;
  }

  /** The checksum, once all pages have been seen. */
  value(): number {
    if (this.seen !== this.size) unreachable(`the checksum has seen ${this.seen} of the initrd's ${this.size} bytes`);
    return this.checksum;
  }
}

/** The parameters as the shim reads them. They are known once the initrd's pages, which come first, have been seen. */
export function shimParams(importer: ImageImporter, params: ShimParams): ByteSource {
  const checksum = new InitrdChecksum(params.initrd.gpa, params.initrd.size);
  importer.observe(checksum);
  const isolation = ISOLATION[importer.isolation.type];
  return deferredSource(SHIM_PARAMS_SIZE, () => [encodeShimParams(params, isolation, checksum.value())]);
}

function encodeShimParams(params: ShimParams, isolation: number, initrdCrc: number): Uint8Array {
  const offset = (gpa: number | bigint): bigint => BigInt(gpa) - BigInt(params.shimBase);
  const writer = new StructWriter();
  const range = (memory: MemoryRange | undefined): void => {
    if (memory === undefined) writer.u64(0, 0);
    else writer.u64(offset(memory.gpa), memory.size);
  };
  writer.u64(offset(params.kernelEntry), offset(params.commandLine));
  range(params.initrd);
  writer.u32(initrdCrc, isolation);
  range(params.memory);
  range(params.parameters);
  range(params.reserved);
  range(params.sidecar);
  writer.u64(params.sidecar === undefined ? 0n : offset(params.sidecar.entry));
  writer.u64(offset(params.memory.gpa), offset(params.usedEnd));
  range(params.bounceBuffer);
  range(params.logBuffer);
  range(params.heap);
  range(params.persistedState);
  return writer.finish();
}
