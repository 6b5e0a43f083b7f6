import type { ErrorInfo } from '../codes';

/** Measurement, endorsement and signatures (src/measurement, src/endorsement). */
export const ENDORSEMENT_CODES = {
  MEASUREMENT_UNAVAILABLE: {
    cause: 'The image has no guest for the platform that should be measured.',
    cure: 'Choose a platform that the image supports.',
  },
} as const satisfies Record<string, ErrorInfo>;
