import type { ErrorInfo } from '../codes';

/** The manifest and its resources (src/manifest). */
export const MANIFEST_CODES = {
  MANIFEST_INVALID: {
    cause: 'The manifest has a value that is missing, of the wrong type or out of range.',
    cure: 'Correct the value; docs/manifest.md lists every key.',
  },
} as const satisfies Record<string, ErrorInfo>;
