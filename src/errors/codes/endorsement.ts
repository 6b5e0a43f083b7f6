import type { ErrorInfo } from '../codes';

/** Measurement, endorsement and signatures (src/measurement, src/endorsement). */
export const ENDORSEMENT_CODES = {
  MEASUREMENT_UNAVAILABLE: {
    cause: 'The image has no guest for the platform that should be measured.',
    cure: 'Choose a platform that the image supports.',
  },
  MEASUREMENT_IMPOSSIBLE: {
    cause: 'The file contains something that the platform cannot launch, so it has no launch digest.',
    cure: 'Check the part of the file that the message names; igvmfilegen and nx-igvm never write such a file.',
  },
} as const satisfies Record<string, ErrorInfo>;
