import { lstatSync, realpathSync, statSync, type BigIntStats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';

/**
 * Refuses outputs that would replace a file which they are made from, whatever its name: through linked folders, links to files,
 * and file systems that ignore case. (A second hard link is another file to an output: it replaces one name.)
 * @param outputs paths of files that may not exist yet
 * @param inputs paths
 * @throws IgvmError FILE_UNWRITABLE
 */
export function checkNotInputs(outputs: readonly string[], inputs: readonly string[]): void {
  const read = new Set(inputs.flatMap(namesOfInput));
  const clash = outputs.find((path) => namesOfOutput(path).some((name) => read.has(name)));
  if (clash !== undefined) {
    throw new IgvmError('FILE_UNWRITABLE', 'the output would replace a file that it is made from', { file: clash });
  }
}

const namesOfInput = (path: string): string[] => [
  resolve(path),
  placeOf(path),
  ...some(() => realpathSync(path)),
  ...some(() => inode(statSync(path, { bigint: true }))),
];

/** An output replaces a link, not what it points to. */
const namesOfOutput = (path: string): string[] => [
  resolve(path),
  placeOf(path),
  ...some(() => inode(lstatSync(path, { bigint: true }))),
];

/** The path without links on the way; of what doesn't exist, as far as its folders do. */
export function placeOf(path: string): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  const [folder = placeOf(parent)] = some(() => realpathSync(parent));
  return join(folder, basename(absolute));
}

/** Tells a file with one name from every other. */
const inode = ({ dev, ino, nlink }: BigIntStats): string | undefined =>
  nlink === 1n && ino !== 0n ? `${dev}:${ino}` : undefined;

/** Nothing for a path that doesn't exist or can't be looked at: reading or writing it tells why. */
function some(look: () => string | undefined): string[] {
  try {
    const found = look();
    return found === undefined ? [] : [found];
  } catch {
    return [];
  }
}
