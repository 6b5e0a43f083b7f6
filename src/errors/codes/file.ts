import type { ErrorInfo } from '../error-info';

/** Reading and writing files (src/files). */
export const FILE_CODES = {
  FILE_UNREADABLE: {
    cause: 'A file that is needed does not exist, is not a regular file, or may not be read.',
    cure: 'Give the path of a file that exists and may be read.',
  },
  FILE_CHANGED: {
    cause: 'A file became shorter or longer, or was written to, while it was being read.',
    cure: 'Run it again when nothing writes to the file any more.',
  },
  FILE_UNWRITABLE: {
    cause:
      'An output could not be written: the folder is missing or read-only, the disk is full, or the path is a directory, a symbolic link or a device.',
    cure: 'Check the output path, its permissions and the free space.',
  },
} as const satisfies Record<string, ErrorInfo>;
