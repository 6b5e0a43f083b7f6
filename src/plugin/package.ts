import { join, sep } from 'node:path';

/** The package, and what users write in nx.json. */
export const PACKAGE_NAME = 'nx-igvm';

/** The folder of this package's package.json: two above `dist/plugin`. */
export const PACKAGE_ROOT = join(__dirname, '..', '..');

/** A path with `/` on every platform. Where `/` separates anyway, a backslash is a part of a name. */
export const toSlashes = (path: string): string => (sep === '/' ? path : path.replaceAll(sep, '/'));
