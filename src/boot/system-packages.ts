/**
 * How to install programs: package managers, and their names for the VMMs. The repository's own scripts also read this file, before
 * anything is built.
 */
import { findProgram } from '../files/find-program';

export type PackageManagerName = 'apt' | 'dnf' | 'pacman' | 'brew' | 'winget';

export interface PackageManager {
  readonly name: PackageManagerName;
  readonly platform: NodeJS.Platform;
  readonly program: string;
  /** Whether only root may install. */
  readonly needsRoot: boolean;
  /** Arguments that fetch the lists of packages, if that isn't part of an installation. */
  readonly refresh?: readonly string[];
  /** Arguments before the packages. */
  readonly install: readonly string[];
}

/** In the order of the search. */
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
  /** Its usual name. */
  readonly label: string;
  /** Its programs, any of which is sufficient. */
  readonly programs: readonly string[];
  /** Its name in each package manager that has it. */
  readonly packages: Readonly<Partial<Record<PackageManagerName, string>>>;
  /** What to do after a package manager has installed it. */
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

/** A machine on which to install something. */
export interface InstallSystem {
  platform: NodeJS.Platform;
  /** Folders in the form of the environment variable PATH. */
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

/** The consecutive commands that install packages with a package manager. */
export const installCommands = (
  { program, refresh, install }: PackageManager,
  packages: readonly string[],
): string[][] => [...(refresh === undefined ? [] : [[program, ...refresh]]), [program, ...install, ...packages]];

/** One line that installs these packages on a machine; undefined if its package manager is unknown or has none of them. */
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

/** How to install one of these on a machine, as the end of a sentence: the line for the first one that the package manager has, or else their web pages. */
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
