import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { type CliEnvironment, ExitCode } from '../cli';
import { IgvmError } from '../../errors/igvm-error';
import { printableJson } from '../../errors/printable';
import type { LaunchOptions } from '../../measurement/launches';
import { isLaunchGiven, withLaunchOptions } from './measure';

interface DiffFlags extends LaunchOptions {
  revisions?: string;
  format: 'text' | 'json' | 'markdown';
  json?: boolean;
}

/** `nx-igvm diff A B`. The exit code is 1 if they differ. */
export function registerDiff(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('diff')
    .description('show the differences between two images, two locks, or the locks of two revisions in git')
    .argument('[files...]', 'two images or two locks; with --revisions: locks (default: all)');
  command
    .option(
      '--revisions <range>',
      'compare locks and manifests of a repository: main..HEAD, main...HEAD, or one revision',
    )
    .addOption(
      command
        .createOption('--format <format>', 'the output format')
        .choices(['text', 'json', 'markdown'])
        .default('text'),
    )
    .option('--json', 'the same as --format json');
  withLaunchOptions(command, 'for images: also compare the digests of this launch')
    .addHelpText(
      'after',
      '\nExit code: 0 when nothing differs, 1 when something does. With --format markdown, a report for pull requests, 0 in both cases.',
    )
    .action(async (files: string[], { revisions, format: wanted, json, ...launch }: DiffFlags) => {
      const format = json === true ? 'json' : wanted;
      const paths = files.map((file) => resolve(environment.cwd, file));
      const { text, isSame } =
        revisions === undefined
          ? await compareFiles(paths, files, format, launch)
          : compareRevisions(environment.cwd, revisions, files, format);
      environment.stdout(text);
      if (!isSame && format !== 'markdown') throw new ExitCode(1);
    });
}

interface Compared {
  text: string;
  isSame: boolean;
}

function compareRevisions(
  folder: string,
  range: string,
  locks: readonly string[],
  format: DiffFlags['format'],
): Compared {
  const { changesBetweenRevisions, parseRange } =
    require('../../lock/lock-changes') as typeof import('../../lock/lock-changes');
  return shownLocks(changesBetweenRevisions(folder, parseRange(folder, range), locks), format);
}

function shownLocks(changes: import('../../lock/lock-changes').LockChanges[], format: DiffFlags['format']): Compared {
  const { lockChangesMarkdown, lockChangesText } =
    require('../../lock/lock-changes') as typeof import('../../lock/lock-changes');
  const show = {
    text: lockChangesText,
    markdown: lockChangesMarkdown,
    json: (each: typeof changes) => `${printableJson({ locks: each })}\n`,
  };
  return { text: show[format](changes), isSame: changes.length === 0 };
}

async function compareFiles(
  [a, b, ...more]: string[],
  given: string[],
  format: DiffFlags['format'],
  launch: LaunchOptions,
): Promise<Compared> {
  if (a === undefined || b === undefined || more.length > 0) {
    throw new IgvmError(
      'USAGE',
      `diff compares two files, not ${given.length}; --revisions compares locks of a repository`,
    );
  }
  const { isLock, lockFileChanges } = require('../../lock/lock-changes') as typeof import('../../lock/lock-changes');
  const locks = [a, b].filter(isLock);
  if (locks.length === 1)
    throw new IgvmError('USAGE', 'an image can only be compared with an image, and a lock with a lock');
  if (locks.length === 2) return shownLocks(lockFileChanges(a, b, given.join(' → ')), format);
  const { diffFiles } = require('../../diff/diff-images') as typeof import('../../diff/diff-images');
  const { launchesOfOptions } = require('../../measurement/launches') as typeof import('../../measurement/launches');
  const difference = await diffFiles(a, b, isLaunchGiven(launch) ? launchesOfOptions(launch) : []);
  const show = {
    text: () => (require('../../diff/diff-text') as typeof import('../../diff/diff-text')).diffText(difference),
    markdown: () => {
      const { diffMarkdown } = require('../../diff/diff-text') as typeof import('../../diff/diff-text');
      return diffMarkdown(difference, basename(a) === basename(b) ? [given[1]!, given[1]!] : [given[0]!, given[1]!]);
    },
    json: () => `${printableJson(difference)}\n`,
  };
  return { text: show[format](), isSame: difference.isSame };
}
