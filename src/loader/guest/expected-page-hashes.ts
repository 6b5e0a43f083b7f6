import { SHA384_SIZE } from '../../igvm/hashes';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import { deferredSource } from './deferred-source';
import type { SharedPageHashes } from './shared-page-hashes';

/** Pages of the region (loader_defs paravisor.rs: PARAVISOR_MEASURED_VTL2_CONFIG_PAGE_HASHES_SIZE_PAGES). */
export const EXPECTED_PAGE_HASHES_PAGES = 256;

/** ExpectedPageHashesHeader: magic, version, count, reserved; a u32 each. */
const HEADER_SIZE = 16;
const MAGIC = 0x53485045; // "EPHS"
const VERSION = 1;

/** How many pages the region has hashes for. */
export const EXPECTED_PAGE_HASHES_LIMIT = Math.floor(
  (EXPECTED_PAGE_HASHES_PAGES * PAGE_SIZE - HEADER_SIZE) / SHA384_SIZE,
);

/**
 * The region from which OpenHCL's boot shim learns what each shared page should hold: a header, a SHA-384 for every
 * shared page by ascending GPA, zeros. Known once all shared pages have been seen.
 */
export function expectedPageHashes(hashes: SharedPageHashes): ByteSource {
  return deferredSource(EXPECTED_PAGE_HASHES_PAGES * PAGE_SIZE, () => {
    const header = new Uint8Array(HEADER_SIZE);
    const view = new DataView(header.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, VERSION, true);
    view.setUint32(8, hashes.count, true);
    return [header, hashes.eachPage()];
  });
}
