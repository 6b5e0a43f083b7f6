import type { ParameterKind } from '../../igvm/model';
import type { ProductPolicy } from '../../manifest/model';
import { PAGE_SIZE } from '../../memory/page';
import { EXPECTED_PAGE_HASHES_PAGES } from '../guest/expected-page-hashes';
import type { ImageImporter } from '../guest/importer';
import { encodeProductPolicy } from './product-policy';
import { StructWriter } from '../../memory/struct-writer';

/** What the VMM fills at the start of the region, in this order and without gaps (loader_defs/src/paravisor.rs). */
const PARAMETERS: readonly { tag: string; kind: ParameterKind; pages: number }[] = [
  { tag: 'underhill-slit', kind: 'slit', pages: 20 },
  { tag: 'underhill-pptt', kind: 'pptt', pages: 20 },
  { tag: 'underhill-device-tree', kind: 'deviceTree', pages: 64 },
];

/** Behind the parameters, measured: the list of imported regions, the configuration, the hashes of shared pages. */
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
 * Imports VTL2's measured configuration, and says where the pages go that the guest builder fills.
 * @param vtomBit address bit of the shared GPA boundary; 0: there is none
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
