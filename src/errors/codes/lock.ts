import type { ErrorInfo } from '../error-info';

/** The measurement lock (src/lock). */
export const LOCK_CODES = {
  LOCK_MISSING: {
    cause: 'An image should be checked against its measurement lock, and there is none.',
    cure: 'Write it with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), review it, and commit it beside the manifest.',
  },
  LOCK_INVALID: {
    cause: 'The measurement lock has a format that this version does not know.',
    cure: 'Write it again with "nx run PROJECT:measure --update-lock", and review what changes.',
  },
  LOCK_MISMATCH: {
    cause: 'The image measures differently than its lock says.',
    cure: 'If the change is meant, write the lock again with "nx run PROJECT:measure --update-lock" and have it reviewed; otherwise find out what changed the named regions.',
  },
  SIBLINGS_STALE: {
    cause: 'The files beside the image belong to another build than the image.',
    cure: 'Build the image again, and keep the files of one build together.',
  },
} as const satisfies Record<string, ErrorInfo>;
