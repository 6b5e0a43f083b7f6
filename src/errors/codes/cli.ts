import type { ErrorInfo } from '../error-info';

/** The command line (src/cli). */
export const CLI_CODES = {
  USAGE: {
    cause: 'The command line has an option or argument that does not fit.',
    cure: 'See --help.',
  },
} as const satisfies Record<string, ErrorInfo>;
