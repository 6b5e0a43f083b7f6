import { resolve } from 'node:path';
import { shownPath } from '../files/file-failure';
import type { CliEnvironment } from './cli';

/**
 * Who calls a command: the command line or a task of Nx. Both pass their options to the same function of the command. This interface
 * holds everything in which they differ.
 */
export interface Caller {
  /** Absolute path of the folder that relative paths start from: the current folder, or the workspace. */
  readonly folder: string;
  /** Makes the path in an option absolute. */
  readonly at: (path: string) => string;
  /** How messages name an absolute path. */
  readonly display: (path: string) => string;
  /** How messages name an option: `--guest-svn` on the command line, `guestSvn` in a target. */
  readonly nameOf: (option: string) => string;
  /** Takes output for programs, byte for byte. */
  readonly write: (text: string) => void;
  /** Takes lines of the result, without the last newline. */
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
  /** Takes remarks that are not the result, without the last newline. The command line keeps them out of its output. */
  readonly note: (text: string) => void;
  /** Takes messages of another program, in pieces of any length. */
  readonly message: (text: string) => void;
  /** Whether a person watches. */
  readonly isInteractive: boolean;
}

/** A path option that may be missing, made absolute. */
export const optionalPath = ({ at }: Pick<Caller, 'at'>, path: string | undefined): string | undefined =>
  path === undefined ? undefined : at(path);

/** The command line as the caller. Messages name each path as it was given. */
export function commandLine({ cwd, stdout, stderr, isInteractive }: CliEnvironment): Caller {
  const given = new Map<string, string>();
  return {
    folder: cwd,
    at(path) {
      const absolute = resolve(cwd, path);
      given.set(absolute, path);
      return absolute;
    },
    display: (path) => given.get(path) ?? shownPath(cwd, path),
    nameOf: (option) => `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    write: stdout,
    info: (text) => stdout(`${text}\n`),
    warn: (text) => stderr(`warning: ${text}\n`),
    note: (text) => stderr(`${text}\n`),
    message: stderr,
    isInteractive,
  };
}
