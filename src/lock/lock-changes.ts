import { closeSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import { changesMarkdown, type ReportedChanges, type ReportedGuest } from '../diff/changes-markdown';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { errnoOf, unreadable } from '../files/file-failure';
import { openRegularFile, readRegularFile } from '../files/regular-file';
import { compareFacts, type Facts, FactList } from '../image/guest-facts';
import { parseJson } from '../manifest/json-document';
import { compareLocks, type LockDifference } from './compare-locks';
import { commitOf, fileInRevision, git } from './git';
import { LOCK_SIZE_LIMIT, parseLock, readLock } from './lock-file';
import type { MeasurementLock } from './lock-schema';
import { platformLabel } from './verify-image';

/** The changes of an image between two states of its lock, and of its manifest if it is known. */
export interface LockChanges {
  /** Name of the lock. */
  name: string;
  /** Sentences about a lock that is new, was removed or can't be read. */
  notes: string[];
  differences: LockDifference[];
  /** Command lines in the manifest, by their places. */
  commandLines: ReportedGuest['commandLines'];
  /** Changed resources in the manifest, a line each. */
  resources: string[];
}

/** The lock and manifest of an image at one time; undefined if there is no such file. */
export interface ReviewedState {
  lock: Uint8Array | undefined;
  manifest: Uint8Array | undefined;
}

/** Compares two states of an image's lock and manifest. A file that can't be read becomes a note instead of an error, as it may be old. */
export function compareStates(name: string, before: ReviewedState, after: ReviewedState): LockChanges {
  const notes: string[] = [];
  const read = <T>(what: string, content: Uint8Array | undefined, parse: (content: Uint8Array) => T): T | undefined => {
    if (content === undefined) return undefined;
    try {
      return parse(content);
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      notes.push(`The ${what} can't be read: ${error.message}`);
      return undefined;
    }
  };
  const lockOf = (content: Uint8Array): MeasurementLock => parseLock(content, name);
  const [old, now] = [read('lock before', before.lock, lockOf), read('lock after', after.lock, lockOf)];
  if (before.lock === undefined && after.lock !== undefined) notes.push('The lock is new.');
  if (before.lock !== undefined && after.lock === undefined)
    notes.push('The lock was removed: this image is no longer checked.');
  const nothing: MeasurementLock = { lockVersion: 0, file: {}, platforms: {} };
  const manifestOf = (content: Uint8Array): ManifestFacts => factsOf(parseJson(content, name).value);
  const none: ManifestFacts = { commandLines: new Map(), resources: new Map() };
  const manifests = [
    read('manifest before', before.manifest, manifestOf) ?? none,
    read('manifest after', after.manifest, manifestOf) ?? none,
  ] as const;
  return {
    name,
    notes,
    // Otherwise everything would look new.
    differences:
      (old ?? now) === undefined || isUnreadable(before, old) || isUnreadable(after, now)
        ? []
        : differencesOf(old ?? nothing, now ?? nothing),
    commandLines: compareFacts(manifests[0].commandLines, manifests[1].commandLines).map(({ what, a, b }) => ({
      name: what,
      before: a,
      after: b,
    })),
    resources: compareFacts(manifests[0].resources, manifests[1].resources).map(
      ({ what, a, b }) => `resource ${what}: ${a ?? 'none'} before, now ${b ?? 'none'}`,
    ),
  };
}

const isUnreadable = ({ lock }: ReviewedState, parsed: MeasurementLock | undefined): boolean =>
  lock !== undefined && parsed === undefined;

/** Adds the digests of a guest that is new or was removed, which reviewers want to see. */
function differencesOf(before: MeasurementLock, after: MeasurementLock): LockDifference[] {
  return compareLocks(before, after).map((difference) => {
    const { platform, missingIn } = difference;
    if (platform === undefined || missingIn === undefined) return difference;
    const [present] = [after.platforms[platform], before.platforms[platform]].filter((each) => each !== undefined);
    const digests = (present?.digests ?? []).flatMap(({ digest, launches }) =>
      (launches?.map(lockedLaunchText) ?? ['']).map((launch) =>
        missingIn === 'image' ? { launch, expected: digest } : { launch, actual: digest },
      ),
    );
    return { ...difference, digests };
  });
}

const lockedLaunchText = ({
  vmm,
  vcpus,
  cpu,
  kvmMode,
}: {
  vmm: string;
  vcpus?: readonly number[];
  cpu?: readonly string[];
  kvmMode?: string;
}): string =>
  [
    vmm,
    ...(vcpus === undefined ? [] : ['vcpus', vcpus.join(',')]),
    ...(cpu === undefined ? [] : ['cpu', cpu.join(',')]),
    ...(kvmMode === undefined ? [] : [kvmMode]),
  ].join(' ');

interface ManifestFacts {
  commandLines: Facts;
  resources: Facts;
}

/** All command lines and resources in a manifest. Doesn't use its schema, which may have changed since. */
function factsOf(manifest: unknown): ManifestFacts {
  const commandLines = new FactList();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      const at = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      if (key === 'command_line' && typeof member === 'string') commandLines.add(at, member);
      else visit(member, at);
    }
  };
  visit(manifest, '');
  const resources = new FactList();
  const named = typeof manifest === 'object' && manifest !== null && 'resources' in manifest ? manifest.resources : {};
  for (const [key, value] of Object.entries(named ?? {})) {
    resources.add(
      key,
      typeof value === 'string'
        ? value
        : JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each)),
    );
  }
  return { commandLines: commandLines.facts, resources: resources.facts };
}

export const hasChanges = ({ notes, differences, commandLines, resources }: LockChanges): boolean =>
  notes.length + differences.length + commandLines.length + resources.length > 0;

/** Whether a file is JSON: then it is a lock, not an image. @throws IgvmError FILE_UNREADABLE */
export function isLock(path: string): boolean {
  let fd: number | undefined;
  try {
    ({ fd } = openRegularFile(path));
    const start = Buffer.alloc(64);
    return start.toString('latin1', 0, readSync(fd, start)).trimStart().startsWith('{');
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * The differences between two locks.
 * @throws IgvmError as `readLock`
 */
export function lockFileChanges(before: string, after: string, name: string): LockChanges[] {
  const differences = differencesOf(readLock(before), readLock(after));
  const changes = { name, notes: [], differences, commandLines: [], resources: [] };
  return hasChanges(changes) ? [changes] : [];
}

/** Two revisions to compare: commits, or a commit and the working tree. */
export interface RevisionRange {
  from: string;
  /** Undefined: the working tree. */
  to: string | undefined;
}

/**
 * Parses a git range: `main..HEAD`, `main...HEAD` (from their merge base), or one revision, which is compared with the working
 * tree.
 * @param folder in the repository
 * @throws IgvmError GIT_FAILED
 */
export function parseRange(folder: string, text: string): RevisionRange {
  const [, from = '', dots, to = ''] = /^(.*?)(\.{2,3})(.*)$/.exec(text) ?? [undefined, text];
  if (dots === undefined) return { from: commitOf(folder, from), to: undefined };
  const [first, second] = [commitOf(folder, from || 'HEAD'), commitOf(folder, to || 'HEAD')];
  return { from: dots === '...' ? git(folder, 'merge-base', first, second).trim() : first, to: second };
}

/**
 * The changes of a repository's locks, and of the manifests beside them, between two revisions.
 * @param folder in the repository
 * @param locks paths relative to `folder`. Default: all igvm.lock.json and NAME.igvm.lock.json in it
 * @throws IgvmError GIT_FAILED
 */
export function changesBetweenRevisions(
  folder: string,
  { from, to }: RevisionRange,
  locks: readonly string[] = [],
): LockChanges[] {
  const manifests = locks.map((lock) => lock.replace(/\.lock\.json$/, '.json'));
  const patterns = ['igvm.lock.json', '*.igvm.lock.json', 'igvm.json', '*.igvm.json'].map(
    (name) => `:(glob)**/${name}`,
  );
  const paths = locks.length === 0 ? patterns : [...locks, ...manifests].map((path) => `:(literal)${path}`);
  const range = to === undefined ? [from] : [from, to];
  const changed = git(
    folder,
    'diff',
    '--no-ext-diff',
    '--no-textconv',
    '--no-renames',
    '--name-only',
    '-z',
    ...range,
    '--',
    ...paths,
  );
  const top = git(folder, 'rev-parse', '--show-toplevel').replace(/\n$/, '');
  const untracked =
    to === undefined
      ? git(folder, 'ls-files', '--others', '--exclude-standard', '--full-name', '-z', '--', ...paths)
      : '';
  const names = new Set(
    `${changed}${untracked}`
      .split('\0')
      .filter((path) => path !== '')
      .map((path) => path.replace(/(?:\.lock)?\.json$/, '')),
  );
  const stateAt = (revision: string | undefined, name: string): ReviewedState => {
    const content = (path: string): Uint8Array | undefined => {
      if (revision === undefined) return fileInWorkingTree(resolve(top, path));
      const text = fileInRevision(folder, revision, path);
      return text === undefined ? undefined : Buffer.from(text);
    };
    return { lock: content(`${name}.lock.json`), manifest: content(`${name}.json`) };
  };
  return [...names]
    .sort()
    .map((name) => compareStates(`${name}.lock.json`, stateAt(from, name), stateAt(to, name)))
    .filter(hasChanges);
}

function fileInWorkingTree(path: string): Uint8Array | undefined {
  try {
    return readRegularFile(path, { limit: LOCK_SIZE_LIMIT });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

/** Changes in the order of the report: digests first, the causes last. */
function reported({ name, notes, differences, commandLines, resources }: LockChanges): ReportedChanges {
  const manifest: ReportedGuest[] =
    commandLines.length + resources.length === 0
      ? []
      : [
          {
            name: 'manifest',
            digests: [],
            commandLines,
            changes: resources,
          },
        ];
  const guests = differences.map(
    ({ platform, missingIn, digests, changes }): ReportedGuest => ({
      name: platform === undefined ? 'the file' : platformLabel(platform),
      digests: digests.map(({ launch, expected, actual }) => ({ launch, before: expected, after: actual })),
      commandLines: [],
      changes: [
        ...(missingIn === undefined ? [] : [missingIn === 'image' ? 'this guest was removed' : 'this guest is new']),
        ...changes,
      ],
    }),
  );
  return { title: name, notes, guests: [...guests, ...manifest] };
}

/** Changes for people. */
export function lockChangesText(changes: readonly LockChanges[]): string {
  if (changes.length === 0) return `${NOTHING_CHANGED}\n`;
  const lines = changes
    .map(reported)
    .flatMap(({ title, notes, guests }) => [
      `${title}:`,
      ...notes.map((note) => `  ${note}`),
      ...guests.flatMap((guest) => [`  ${guest.name}:`, ...guestLines(guest).map((line) => `    ${line}`)]),
    ]);
  return `${lines.map(printable).join('\n')}\n`;
}

const guestLines = ({ digests, commandLines, changes }: ReportedGuest): string[] => [
  ...digests.flatMap(({ launch, before, after }) => [
    `launch digest${launch === '' ? '' : `, launched by ${launch}`}:`,
    `  before ${before ?? 'none'}`,
    `  after  ${after ?? 'none'}`,
  ]),
  ...commandLines.flatMap(({ name, before, after }) => [
    `command line ${name}:`,
    `  before ${before ?? 'none'}`,
    `  after  ${after ?? 'none'}`,
  ]),
  ...changes,
];

const NOTHING_CHANGED = 'No launch digest that a lock expects has changed.';

/** Changes as Markdown, for a pull request. */
export const lockChangesMarkdown = (changes: readonly LockChanges[]): string =>
  changesMarkdown(changes.map(reported), NOTHING_CHANGED);
