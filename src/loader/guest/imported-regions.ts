import { IgvmError } from '../../errors/igvm-error';
import { SHA384_SIZE } from '../../igvm/hashes';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import type { AcceptedRange } from './accepted-ranges';
import { deferredSource } from './deferred-source';
import type { SharedPageHashes } from './shared-page-hashes';

/** ImportedRegionDescriptor: page number u64, page count u64, accepted u8, padding (loader_defs paravisor.rs). */
const DESCRIPTOR_SIZE = 24;

/** How many descriptors fit into the page behind the digest. */
const DESCRIPTOR_LIMIT = Math.floor((PAGE_SIZE - SHA384_SIZE) / DESCRIPTOR_SIZE);

/**
 * The page from which OpenHCL's boot shim learns which memory the loader has filled, and so accepted, already: the
 * SHA-384 of all shared pages, then the regions by ascending address.
 * @param regions everything imported, this page included
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when the list does not fit into its page
 */
export function importedRegions(
  hashes: SharedPageHashes,
  regions: readonly Pick<AcceptedRange, 'pageBase' | 'pageCount' | 'acceptance'>[],
): ByteSource {
  if (regions.length > DESCRIPTOR_LIMIT) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the guest has ${regions.length} separate regions of memory, and OpenHCL can list ${DESCRIPTOR_LIMIT}`,
    );
  }
  return deferredSource(SHA384_SIZE + regions.length * DESCRIPTOR_SIZE, async () => {
    const list = new Uint8Array(regions.length * DESCRIPTOR_SIZE);
    const view = new DataView(list.buffer);
    const sorted = [...regions].sort((a, b) => a.pageBase - b.pageBase);
    for (const [index, { pageBase, pageCount, acceptance }] of sorted.entries()) {
      const at = index * DESCRIPTOR_SIZE;
      view.setBigUint64(at, BigInt(pageBase), true);
      view.setBigUint64(at + 8, BigInt(pageCount), true);
      view.setUint8(at + 16, acceptance === 'shared' ? 0 : 1);
    }
    return [await hashes.allPages(), list];
  });
}
