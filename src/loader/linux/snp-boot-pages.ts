import { EMPTY_SOURCE } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import type { ImageImporter } from '../guest/importer';
import { StructWriter } from '../../memory/struct-writer';

/** Pages that {@link importSnpBootPages} takes. */
export const SNP_BOOT_PAGES = 5;

/** "AMDE" (Linux, arch/x86/include/asm/sev.h: CC_BLOB_SEV_HDR_MAGIC). */
const CC_BLOB_MAGIC = 0x45444d41;
const SETUP_CC_BLOB = 7;
/** struct setup_data, and what follows it here: the blob's address, padded to 16 bytes. */
const SETUP_DATA_LENGTH = 16;

/**
 * The pages through which Linux learns that it runs under SNP: secrets, CPUID, the confidential-computing blob that
 * points to both, the setup_data that points to the blob, and room for a VMSA (openvmm vm/loader/src/linux.rs:
 * import_snp_boot_pages).
 * @param gpa of the first page, in bytes, below 4 GiB
 * @returns GPA of the setup_data
 */
export function importSnpBootPages(importer: ImageImporter, gpa: number): number {
  const [secrets, cpuid, ccBlob, setupData, vmsa] = [0, 1, 2, 3, 4].map((page) => gpa + page * PAGE_SIZE) as [
    number,
    number,
    number,
    number,
    number,
  ];
  importer.importPages(secrets / PAGE_SIZE, 1, 'linux-snp-secrets', 'secrets', EMPTY_SOURCE);
  importer.importPages(cpuid / PAGE_SIZE, 1, 'linux-snp-cpuid', 'cpuid', EMPTY_SOURCE);
  const blob = new StructWriter()
    .u32(CC_BLOB_MAGIC)
    .u16(0, 0) // version, reserved
    .u64(secrets)
    .u32(PAGE_SIZE, 0)
    .u64(cpuid)
    .u32(PAGE_SIZE, 0)
    .finish();
  importer.importPages(ccBlob / PAGE_SIZE, 1, 'linux-snp-cc-blob', 'exclusive', blob);
  const data = new StructWriter().u64(0).u32(SETUP_CC_BLOB, SETUP_DATA_LENGTH, ccBlob, 0, 0, 0).finish();
  importer.importPages(setupData / PAGE_SIZE, 1, 'linux-snp-cc-setup-data', 'exclusive', data);
  importer.setVpContextPage(vmsa / PAGE_SIZE);
  return setupData;
}
