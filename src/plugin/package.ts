import { join } from 'node:path';

export const PACKAGE_NAME = 'nx-igvm';

/** The folder of this package's package.json: two above `dist/plugin`. */
export const PACKAGE_ROOT = join(__dirname, '..', '..');

/** A path with `/` on every platform. */
export const toSlashes = (path: string): string => path.replaceAll('\\', '/');
