import { withSnpIdBlock } from '../../src/endorsement/add-snp-id-block';
import { identityDocument, isIdentityDocument, isOwnIdBlock } from '../../src/endorsement/guest-documents';
import { fileOf, patternPage, platformOf, runOf } from '../../src/igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../../src/igvm/model';
import type { Target } from '../engine/target';
import { EC_PUBLIC_KEY, ECDSA_SIGNATURE, ID_BLOCK, ID_BLOCK_POLICY } from './signed-samples';

const IMAGE = fileOf([runOf(0, patternPage(1))], {
  platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
  initializations: [{ type: 'guestPolicy', policy: ID_BLOCK_POLICY, compatibilityMask: 1 }],
});

export const idBlock: Target = {
  name: 'id-block',
  about: 'SNP ID blocks, and the other siblings, which a build replaces only if they are its own',
  format: 'binary',
  seeds: () => [
    ID_BLOCK,
    new Uint8Array(identityDocument({ platform: 'snp', digest: new Uint8Array(48), guestSvn: 1, debugEnabled: true })),
    new Uint8Array(identityDocument({ platform: 'vbs', digest: new Uint8Array(32), guestSvn: 1, debugEnabled: false })),
  ],
  async run(input) {
    isOwnIdBlock(input.bytes);
    for (const platform of ['snp', 'tdx', 'vbs'] as const) isIdentityDocument(input.bytes, platform);
    const signer = { kind: 'outOfBand', signature: ECDSA_SIGNATURE, publicKey: EC_PUBLIC_KEY } as const;
    await withSnpIdBlock(IMAGE, { ...signer, idBlock: input.bytes });
  },
};
