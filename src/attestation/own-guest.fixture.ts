import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { fileOf, MASK, platform, run } from '../measurement/measured-guest.fixture';
import { Vmsa, type VmsaFieldName } from '../vp-context/vmsa';

/** A context that every VMM accepts. */
function context(): Directive {
  const vmsa = new Vmsa();
  const fields = { sevFeatures: 1n, efer: 0x1000n, cr0: 0x10n, xcr0: 1n, dr7: 0x400n, rip: 0x1234n };
  for (const [name, value] of Object.entries(fields)) vmsa.set(name as VmsaFieldName, value);
  return {
    type: 'vpContext',
    format: 'snp',
    gpa: 0xfffffffff000,
    compatibilityMask: MASK.snp,
    vpIndex: 0,
    data: vmsa.page,
  };
}

/** An SEV-SNP guest with one page and one processor. @param page the page number, on which the digest depends */
export const snpGuest = (page = 0x10, policy = 0x30000n): IgvmFile => ({
  ...fileOf([run(page), context()]),
  platforms: [platform(MASK.snp, PLATFORM_TYPE.SEV_SNP)],
  initializations: [{ type: 'guestPolicy', policy, compatibilityMask: MASK.snp }],
});
