/**
 * How programs get onto a machine: package managers, and what they call the VMMs. The repository's own scripts read this file,
 * too, before anything is built.
 */
import { findProgram } from '../files/find-program';

export type PackageManagerName = 'apt' | 'dnf' | 'pacman' | 'brew' | 'winget';

export interface PackageManager {
  readonly name: PackageManagerName;
  readonly platform: NodeJS.Platform;
  readonly program: string;
  /** Whether only root may install. */
  readonly needsRoot: boolean;
  /** Arguments that fetch the lists of packages, where that isn't part of an installation. */
  readonly refresh?: readonly string[];
  /** Arguments before the packages. */
  readonly install: readonly string[];
}

/** In the order in which they are looked for. */
export const PACKAGE_MANAGERS: readonly PackageManager[] = [
  {
    name: 'apt',
    platform: 'linux',
    program: 'apt-get',
    needsRoot: true,
    refresh: ['update'],
    install: ['install', '--yes', '--no-install-recommends'],
  },
  { name: 'dnf', platform: 'linux', program: 'dnf', needsRoot: true, install: ['install', '--assumeyes'] },
  { name: 'pacman', platform: 'linux', program: 'pacman', needsRoot: true, install: ['-S', '--needed', '--noconfirm'] },
  { name: 'brew', platform: 'darwin', program: 'brew', needsRoot: false, install: ['install'] },
  { name: 'winget', platform: 'win32', program: 'winget', needsRoot: false, install: ['install', '--exact'] },
];

/** Something that can be installed. */
export interface SystemPackage {
  /** What people call it. */
  readonly label: string;
  /** Programs that it brings; any of them will do. */
  readonly programs: readonly string[];
  /** What each manager calls it, where it has it. */
  readonly packages: Readonly<Partial<Record<PackageManagerName, string>>>;
  /** What is to be done once a manager has installed it. */
  readonly afterwards?: Readonly<Partial<Record<PackageManagerName, string>>>;
  /** Where else to get it. */
  readonly site?: string;
}

export const QEMU_PACKAGE: SystemPackage = {
  label: 'QEMU',
  programs: ['qemu-system-x86_64'],
  packages: {
    apt: 'qemu-system-x86',
    dnf: 'qemu-system-x86',
    pacman: 'qemu-system-x86',
    brew: 'qemu',
    winget: 'SoftwareFreedomConservancy.QEMU',
  },
  afterwards: { winget: 'add the folder C:\\Program Files\\qemu to PATH then' },
  site: 'https://www.qemu.org/download/',
};

export const CLOUD_HYPERVISOR_PACKAGE: SystemPackage = {
  label: 'Cloud Hypervisor',
  programs: ['cloud-hypervisor'],
  packages: {},
  site: 'https://github.com/cloud-hypervisor/cloud-hypervisor/releases',
};

/** The machine that something is to be installed on. */
export interface InstallSystem {
  platform: NodeJS.Platform;
  /** Folders, as in the environment variable PATH. */
  search: string;
  isRoot: boolean;
}

/** This machine. */
export const thisSystem = (): InstallSystem => ({
  platform: process.platform,
  search: process.env.PATH ?? '',
  isRoot: process.getuid?.() === 0,
});

/** The package manager of a machine, if it is one of those above. */
export const packageManager = ({ platform, search }: InstallSystem): PackageManager | undefined =>
  PACKAGE_MANAGERS.find(
    (manager) => manager.platform === platform && findProgram(manager.program, search) !== undefined,
  );

/** The commands, one after the other, that install packages of a manager. */
export const installCommands = (
  { program, refresh, install }: PackageManager,
  packages: readonly string[],
): string[][] => [...(refresh === undefined ? [] : [[program, ...refresh]]), [program, ...install, ...packages]];

/** The one line that installs these packages on a machine; undefined where its package manager is unknown or has none of them. */
export function installLine(wanted: readonly SystemPackage[], system: InstallSystem): string | undefined {
  const manager = packageManager(system);
  if (manager === undefined) return undefined;
  const names = wanted.flatMap(({ packages }) => packages[manager.name] ?? []);
  if (names.length === 0) return undefined;
  const commands = installCommands(manager, names).map((command) => command.join(' '));
  if (!manager.needsRoot || system.isRoot) return commands.join(' && ');
  if (findProgram('sudo', system.search) === undefined) return `su -c '${commands.join(' && ')}'`;
  return commands.map((command) => `sudo ${command}`).join(' && ');
}

/** How to get one of these onto a machine, as the end of a sentence: the line for the first that a manager has, else their pages. */
export function howToInstall(wanted: readonly SystemPackage[], system: InstallSystem = thisSystem()): string {
  const manager = packageManager(system);
  for (const each of wanted) {
    const line = installLine([each], system);
    const afterwards = manager === undefined ? undefined : each.afterwards?.[manager.name];
    if (line !== undefined) {
      return `"${line}" installs ${each.label} on this system${afterwards === undefined ? '' : `; ${afterwards}`}`;
    }
  }
  return wanted.map(({ label, site }) => `${label} is at ${site}`).join(', ');
}
