import type { ErrorInfo } from '../error-info';

/** Measurement, endorsement and signatures (src/measurement, src/endorsement, src/attestation). */
export const ENDORSEMENT_CODES = {
  MEASUREMENT_UNAVAILABLE: {
    cause: 'The image has no guest for the platform that should be measured.',
    cure: 'Choose a platform that the image has. Only SEV-SNP, TDX and VBS have launch measurements.',
  },
  MEASUREMENT_REFUSED: {
    cause: 'The VMM does not launch the guest, so there is no launch digest that it would report.',
    cure: 'Change what the message names, or ask for another VMM. nx-igvm lint lists everything that VMMs refuse.',
  },
  LAUNCH_INVALID: {
    cause:
      'A launch names an unknown VMM, a count of vCPUs or a processor that is none, or lacks one that the digest depends on.',
    cure: 'See https://github.com/nx-igvm/nx-igvm/blob/main/docs/launch-digests.md for the VMMs and for what the digest of each depends on.',
  },
  MEASUREMENT_IMPOSSIBLE: {
    cause: 'The file contains something that the platform cannot launch, so it has no launch digest.',
    cure: 'Check the part of the file that the message names; igvmfilegen and nx-igvm never write such a file.',
  },
  ID_BLOCK_INVALID: {
    cause:
      'The SNP ID block, its signature or its public key is damaged, or they do not belong to each other or to the image.',
    cure: 'Sign the .idblock file that was built together with this image, with an ECDSA P-384 key, and give the key that signed it.',
  },
  ID_BLOCK_PRESENT: {
    cause: 'The image already has an SNP ID block, and a second one would make it ambiguous.',
    cure: 'Start from the image as it was built.',
  },
  CORIM_MISSING: {
    cause: 'The image has no CoRIM document for the platform whose signature should be added.',
    cure: 'Choose a platform that the image has a document for (dump-corim lists them), or build the image again, without "embed_corim": false.',
  },
  CORIM_INVALID: {
    cause: 'The CoRIM document in the image is not the one that its launch digest and security version give.',
    cure: 'Build the image again, and find out what changed the document: a signature would endorse something else than the image.',
  },
  CORIM_SIGNATURE_INVALID: {
    cause: 'The CoRIM signature is damaged, of a kind that is not supported, or was made over another document.',
    cure: "Sign the image's own CoRIM document with PS384, as a COSE_Sign1 that carries the signer's certificate.",
  },
  EVIDENCE_INVALID: {
    cause: 'A file is not the evidence of a guest: no attestation report or quote, or a damaged one.',
    cure: 'Give the file as the guest got it: the report or quote itself, as bytes or as hexadecimal digits. https://github.com/nx-igvm/nx-igvm/blob/main/docs/verify-report.md lists the forms.',
  },
  CERTIFICATE_INVALID: {
    cause: 'A certificate or a revocation list is damaged, or is none.',
    cure: 'Get it again from its maker, in DER or PEM. A certificate that was changed proves nothing.',
  },
} as const satisfies Record<string, ErrorInfo>;
