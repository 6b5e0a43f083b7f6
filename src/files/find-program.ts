import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

/** Whether a program is given by its name only, without a folder. */
export const isProgramName = (program: string): boolean =>
  !isAbsolute(program) && !program.includes('/') && !program.includes('\\');

/**
 * The path of a program: unchanged if it has a folder, otherwise found in the folders of `search`.
 * @param search folders, as in the environment variable PATH
 * @returns undefined when there is no such program
 */
export function findProgram(program: string, search: string = process.env['PATH'] ?? ''): string | undefined {
  const suffixes = process.platform === 'win32' ? ['', '.exe'] : [''];
  const folders = isProgramName(program) ? search.split(delimiter).filter((folder) => folder !== '') : [''];
  for (const folder of folders) {
    for (const suffix of suffixes) {
      const path = folder === '' ? program + suffix : join(folder, program + suffix);
      if (isProgram(path)) return path;
    }
  }
  return undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * The path of a program that an option names: a file relative to `folder`, or, if the option has only a name and there is no such file,
 * a program in PATH.
 */
export function programPath(program: string, folder: string, search?: string): string {
  const file = resolve(folder, program);
  if (existsSync(file) || !isProgramName(program)) return file;
  return findProgram(program, search) ?? file;
}

/** Name of the files that keep empty folders under version control. They are left out of every initramfs. */
export const PLACEHOLDER = '.gitkeep';
