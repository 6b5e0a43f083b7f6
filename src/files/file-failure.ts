import { isAbsolute, relative, resolve, sep } from 'node:path';
import { IgvmError } from '../errors/igvm-error';

/** What an operating system error means to the user, by its errno name. */
const REASONS: Record<string, string> = {
  EACCES: 'permission denied',
  EBUSY: 'it is in use',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file system does not support files of this size',
  EIO: 'the device reports an input/output error',
  EISDIR: 'it is a directory',
  ELOOP: 'its symbolic links form a loop',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file or directory',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
};

const reasonOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException)?.code;
  return (code !== undefined && REASONS[code]) || (error instanceof Error ? error.message : String(error));
};

/** The errno name of an operating system error, if it is one. */
export const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException)?.code;

/** FILE_UNREADABLE for an error of the file system about `path`. */
export const unreadable = (path: string, error: unknown): IgvmError =>
  new IgvmError('FILE_UNREADABLE', `cannot be read: ${reasonOf(error)}`, { file: path }, { cause: error });

/** FILE_UNWRITABLE for an error of the file system about `path`. */
export const unwritable = (path: string, error: unknown): IgvmError =>
  new IgvmError('FILE_UNWRITABLE', `cannot be written: ${reasonOf(error)}`, { file: path }, { cause: error });

/** A path for messages: relative to `folder` and with `/` if it lies inside, otherwise unchanged. */
export function shownPath(folder: string, path: string): string {
  const inside = relative(folder, resolve(folder, path));
  const steps = inside.split(sep);
  return inside === '' || steps[0] === '..' || isAbsolute(inside) ? path : steps.join('/');
}
