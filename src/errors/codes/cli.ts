import type { ErrorInfo } from '../error-info';

/** The command line (src/cli), and git, which it asks about locks. */
export const CLI_CODES = {
  USAGE: {
    cause: 'The command line has an option or argument that does not fit.',
    cure: 'See --help.',
  },
  GIT_FAILED: {
    cause:
      'The history of a lock was asked for, and git could not tell it: no git, no repository, or no such revision.',
    cure: 'Run it in a clone with its history (in CI: fetch all commits), and name revisions as "git log" takes them.',
  },
} as const satisfies Record<string, ErrorInfo>;
