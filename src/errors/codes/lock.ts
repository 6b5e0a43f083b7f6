import type { ErrorInfo } from '../error-info';

/** The measurement lock (src/lock). */
export const LOCK_CODES = {
  LOCK_MISSING: {
    cause: 'An image should be checked against its measurement lock, and there is none.',
    cure: 'Write it with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), review it, and commit it beside the manifest.',
  },
  LOCK_INVALID: {
    cause: 'The measurement lock is not in the format of this version: an older or newer one, or changed by hand.',
    cure: 'Write it again with "nx run PROJECT:measure --update-lock" (or "nx-igvm measure IMAGE --update-lock LOCK"), and review what changes.',
  },
  LOCK_MISMATCH: {
    cause: 'The image measures differently than its lock says, or is something else than the lock describes.',
    cure: 'If the change is meant, write the lock again with "nx run PROJECT:measure --update-lock" and have it reviewed; otherwise find out what changed what is named.',
  },
  DEBUG_NOT_ALLOWED: {
    cause:
      "The host may debug a guest of the image, and so read its memory, and the image's lock doesn't say that this is meant.",
    cure: 'Turn enable_debug off in the manifest; or, if it is meant, write the lock with "nx run PROJECT:measure --update-lock --allow-debug" and have its "debug": true reviewed.',
  },
  PAGES_OVERLAP: {
    cause:
      'The image has two pages for one address of a guest. Loaders differ in what they do with them, so nothing says what the guest gets.',
    cure: 'Build the image again. No image of nx-igvm or igvmfilegen has such pages; "nx-igvm dump" shows them.',
  },
  SIBLINGS_STALE: {
    cause:
      'A document about the image, beside it or inside, or its map, is not the one that a build of the image writes.',
    cure: 'Build the image again, and keep the files of one build together.',
  },
} as const satisfies Record<string, ErrorInfo>;
