import { execFileSync } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { findProgram } from '../files/find-program';

/** The most output, in bytes. It has to suffice for the log of a long history and for a file in a revision. */
const OUTPUT_LIMIT = 2 ** 26;

/** Options that prevent programs in a repository's configuration from running: file system monitors, signature checks, pagers. */
const SETTINGS = [
  '--no-pager',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'log.showSignature=false',
  '-c',
  'core.quotePath=false',
];

/**
 * The output of git.
 * @param folder its working directory
 * @throws IgvmError GIT_FAILED when there is no git, the folder is not in a repository, or git rejects the arguments
 */
export function git(folder: string, ...args: string[]): string {
  const program = findProgram('git');
  if (program === undefined) throw new IgvmError('GIT_FAILED', 'the program git was not found', { file: folder });
  try {
    return execFileSync(program, [...SETTINGS, ...args], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: OUTPUT_LIMIT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
    });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    const [line = ''] = stderr.split('\n').filter((each) => each.trim() !== '');
    throw new IgvmError('GIT_FAILED', `git ${args[0]}: ${line || message}`, { file: folder }, { cause: error });
  }
}

/** A commit that added a text to a file or removed it. */
export interface HistoricChange {
  /** Full hash. */
  commit: string;
  /** When it was committed, ISO 8601. */
  date: string;
  subject: string;
  /** The file's path in that commit, relative to the top of the repository. */
  path: string;
}

/** Separates the fields of a commit. No subject contains it. */
const FIELD = '\x1f';
const RECORD = '\x1e';

/**
 * The commits that added a text to a file or removed it, newest first, with the file's path in each.
 * @throws IgvmError GIT_FAILED
 */
export function commitsThatChanged(file: string, text: string): HistoricChange[] {
  const format = `--format=${RECORD}%H${FIELD}%cI${FIELD}%s${FIELD}`;
  const printed = git(
    dirname(file),
    'log',
    '--follow',
    '--no-ext-diff',
    '--no-textconv',
    '--name-only',
    '-z',
    format,
    `-S${text}`,
    '--',
    `:(literal)${basename(file)}`,
  );
  return printed
    .split(RECORD)
    .slice(1)
    .flatMap((record): HistoricChange[] => {
      const [commit = '', date = '', subject = '', names = ''] = record.split(FIELD);
      const path = names
        .split('\0')
        .map((each) => each.replace(/^\n+/, ''))
        .find((each) => each !== '');
      return path === undefined ? [] : [{ commit, date, subject, path }];
    });
}

/**
 * The text of a file in a revision.
 * @param folder in the repository
 * @param path relative to the top of the repository
 * @returns undefined when the revision doesn't have the file
 * @throws IgvmError GIT_FAILED for a revision that doesn't exist
 */
export function fileInRevision(folder: string, revision: string, path: string): string | undefined {
  const commit = commitOf(folder, revision);
  const [found = ''] = git(folder, 'ls-tree', '--full-tree', '-z', commit, '--', path).split('\0');
  const [, kind, object] = /^\d+ (\w+) ([0-9a-f]+)\t/.exec(found) ?? [];
  return kind === 'blob' && object !== undefined ? git(folder, 'cat-file', 'blob', object) : undefined;
}

/** The hash of a revision's commit. @throws IgvmError GIT_FAILED */
export function commitOf(folder: string, revision: string): string {
  try {
    // A text that begins with a dash would be an option.
    if (/^[^-]/.test(revision)) return git(folder, 'rev-parse', '--verify', `${revision}^{commit}`).trim();
  } catch (error) {
    if (!(error instanceof IgvmError) || error.message.includes('not a git repository')) throw error;
  }
  throw new IgvmError('GIT_FAILED', `"${revision}" is not a revision of this repository`, { file: folder });
}
