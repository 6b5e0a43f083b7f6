import { BOOT_CODES } from './codes/boot';
import { CLI_CODES } from './codes/cli';
import { ENDORSEMENT_CODES } from './codes/endorsement';
import { FILE_CODES } from './codes/file';
import { FORMAT_CODES } from './codes/format';
import { INITRD_CODES } from './codes/initrd';
import { LOADER_CODES } from './codes/loader';
import { LOCK_CODES } from './codes/lock';
import { MANIFEST_CODES } from './codes/manifest';
import { NX_CODES } from './codes/nx';
import type { ErrorInfo } from './error-info';

/** Every user-visible error code. docs/errors.md is generated from this table. */
export const ERROR_CODES = {
  ...FILE_CODES,
  ...FORMAT_CODES,
  ...MANIFEST_CODES,
  ...LOADER_CODES,
  ...ENDORSEMENT_CODES,
  ...LOCK_CODES,
  ...INITRD_CODES,
  ...BOOT_CODES,
  ...CLI_CODES,
  ...NX_CODES,
} as const satisfies Record<string, ErrorInfo>;

/** A key of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;
