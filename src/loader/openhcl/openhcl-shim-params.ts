import type { ByteSource } from '../../memory/byte-source';
import { deferredSource } from '../guest/deferred-source';
import { InitrdChecksum } from '../guest/initrd-checksum';
import { StructWriter } from '../../memory/struct-writer';
import type { ImageImporter } from '../guest/importer';
import type { MemoryRange } from '../guest/upward-layout';

/** What OpenHCL's boot shim is told (openvmm vm/loader/loader_defs/src/shim.rs: ShimParamsRaw). GPAs in bytes. */
export interface ShimParams {
  /** Where the shim itself lies: everything is told relative to this. */
  shimBase: number;
  kernelEntry: bigint;
  commandLine: number;
  initrd: MemoryRange;
  memory: MemoryRange;
  parameters: MemoryRange;
  /** Absent ranges are told as offset 0 and size 0. */
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

/** The shim asks the CPU whether it is isolated by VBS, so that guests without isolation count as VBS. */
const ISOLATION = { none: 1, vbs: 1, snp: 2, tdx: 3 } as const;

/** The parameters as the shim reads them. Their bytes are known when the initrd's pages, which lie below, have been seen. */
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
