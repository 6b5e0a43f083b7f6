/**
 * The process of a container image, as a container runtime would start it (OCI image specification, config.md). The program and the
 * user are looked up here, in the image, so that the guest's first program needs no rules for that.
 */
import { posix } from 'node:path';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { shortened } from '../cpio-newc';
import type { GuestProcess } from '../guest-start';
import type { ContainerConfig } from './container-image';
import type { Inode, LayerTree } from './layer-tree';

/** Settings of an initrd.json that replace those of the image. */
export interface ProcessOverrides {
  /** Program and arguments, instead of ENTRYPOINT and CMD. */
  command?: readonly string[];
  /** Variables to add to those of the image, or to replace. */
  environment?: Readonly<Record<string, string>>;
}

/** Reads a file of the image. */
export type ReadImageFile = (inode: Inode) => Uint8Array;

/** The PATH that runtimes use if an image sets none. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The most bytes of `/etc/passwd` and of `/etc/group`. */
const LARGEST_TABLE = 2 ** 20;

/** The largest number of a user or group in Linux. The next one means "none". */
const LARGEST_ID = 2 ** 32 - 2;

/** The process that an image starts. @throws IgvmError CONTAINER_PROCESS */
export function containerProcess(
  config: ContainerConfig,
  tree: LayerTree,
  read: ReadImageFile,
  { command, environment = {} }: ProcessOverrides = {},
): GuestProcess {
  const [name, ...args] = command ?? [...config.entrypoint, ...config.command];
  if (name === undefined || name === '') {
    throw new IgvmError('CONTAINER_PROCESS', 'the image has neither ENTRYPOINT nor CMD, so there is nothing to run');
  }
  const workingDirectory = config.workingDirectory === '' ? '/' : posix.join('/', config.workingDirectory);
  const account = new Accounts(tree, read).find(config.user);
  const variables = variablesOf(config.environment);
  if (!variables.has('PATH')) variables.set('PATH', DEFAULT_PATH);
  if (!variables.has('HOME')) variables.set('HOME', account.home);
  for (const [key, value] of Object.entries(environment)) variables.set(key, value);
  const program = findProgram(tree, name, variables.get('PATH') ?? DEFAULT_PATH, workingDirectory);
  const folder = tree.lookUp(workingDirectory);
  if (folder !== undefined && folder.type !== 'directory') {
    throw new IgvmError(
      'CONTAINER_PROCESS',
      `the working directory "${shown(workingDirectory)}" is not a folder in the image`,
    );
  }
  return {
    program,
    arguments: [name, ...args],
    environment: [...variables].map(([key, value]) => `${key}=${value}`),
    workingDirectory,
    user: account.user,
    group: account.group,
    groups: account.groups,
  };
}

const shown = (text: string): string => printable(shortened(text));

/** If several variables have the same name, the last one counts. Texts without a name or without `=` are ignored. */
function variablesOf(environment: readonly string[]): Map<string, string> {
  return new Map(
    environment.flatMap((text) => {
      const at = text.indexOf('=');
      return at < 1 ? [] : [[text.slice(0, at), text.slice(at + 1)] as const];
    }),
  );
}

/** The path of a program, found as a shell would find it. */
function findProgram(tree: LayerTree, name: string, path: string, workingDirectory: string): string {
  const isNamed = name.includes('/');
  const candidates = isNamed
    ? [posix.resolve(workingDirectory, name)]
    : path.split(':').map((folder) => posix.resolve(workingDirectory, folder, name));
  for (const candidate of candidates) {
    const found = tree.lookUp(candidate);
    if (found?.type !== 'file') continue;
    if ((found.permissions & 0o111) !== 0) return candidate;
    if (isNamed)
      throw new IgvmError('CONTAINER_PROCESS', `the program "${shown(name)}" in the image is not executable`);
  }
  const where = isNamed ? 'is not in the image' : `is in none of the folders of its PATH (${shown(path)})`;
  throw new IgvmError('CONTAINER_PROCESS', `the program "${shown(name)}" ${where}`);
}

interface Account {
  user: number;
  group: number;
  groups: number[];
  home: string;
}

/** The users and groups of an image: `/etc/passwd` and `/etc/group` (passwd(5), group(5)). */
class Accounts {
  constructor(
    private readonly tree: LayerTree,
    private readonly read: ReadImageFile,
  ) {}

  /** @param text `user`, `uid`, `user:group`, `uid:gid` or a combination; empty for root */
  find(text: string): Account {
    const [userText = '', groupText] = text.split(':');
    const users = this.table('/etc/passwd');
    const isRoot = userText === '' || userText === 'root';
    const known = users.find(([name, , id]) => (isRoot ? id === '0' : name === userText || id === userText));
    const user = isRoot ? 0 : idOf(known?.[2] ?? userText);
    if (user === undefined) throw noAccount('user', userText, '/etc/passwd');
    const name = known?.[0];
    const groups = this.table('/etc/group');
    const home = known?.[5] === undefined || known[5] === '' ? '/' : known[5];
    if (groupText !== undefined && groupText !== '') {
      const named = groups.find(([group, , id]) => group === groupText || id === groupText);
      const group = idOf(named?.[2] ?? groupText);
      if (group === undefined) throw noAccount('group', groupText, '/etc/group');
      return { user, group, groups: [], home };
    }
    const memberOf = groups.filter(([, , , members = '']) => name !== undefined && members.split(',').includes(name));
    const ids = memberOf.flatMap(([, , id = '']) => idOf(id) ?? []);
    return { user, group: idOf(known?.[3] ?? '0') ?? 0, groups: [...new Set(ids)].sort((a, b) => a - b), home };
  }

  private table(path: string): string[][] {
    const inode = this.tree.lookUp(path);
    if (inode?.type !== 'file') return [];
    if (inode.size > LARGEST_TABLE) {
      throw new IgvmError(
        'CONTAINER_PROCESS',
        `"${path}" in the image has ${inode.size} bytes, and the limit is ${LARGEST_TABLE}`,
      );
    }
    return Buffer.from(this.read(inode))
      .toString('utf8')
      .split('\n')
      .map((line) => line.split(':'));
  }
}

function idOf(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= LARGEST_ID ? id : undefined;
}

const noAccount = (kind: string, name: string, table: string): IgvmError =>
  new IgvmError('CONTAINER_PROCESS', `the ${kind} "${shown(name)}" is not in "${table}" in the image`);
