// The system packages that the demo and the tests need:
//   node scripts/system-packages.mjs demo|test [--no-install]
// lists them and installs the missing ones: as root, or with sudo on a terminal, where it can ask. Otherwise it prints the command
// that installs them. The exit code is 1 if something is still missing. The package managers are those of
// src/boot/system-packages.ts, which `nx boot` uses, too.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
// Before anything is built.
require('./typescript.cjs');
const { CLOUD_HYPERVISOR_PACKAGE, installCommands, installLine, packageManager, QEMU_PACKAGE, thisSystem } =
  require('../src/boot/system-packages.ts');
const { findProgram } = require('../src/files/find-program.ts');

/** The packages. `for` says what needs one. One of its programs is enough; an absolute path is a file. */
const WANTED = [
  {
    ...QEMU_PACKAGE,
    programs: [...QEMU_PACKAGE.programs, ...CLOUD_HYPERVISOR_PACKAGE.programs],
    for: ['demo'],
    why: 'boots the image',
  },
  { ...QEMU_PACKAGE, for: ['test'], why: 'boots images' },
  {
    label: 'git',
    programs: ['git'],
    packages: { apt: 'git', dnf: 'git', pacman: 'git', brew: 'git', winget: 'Git.Git' },
    for: ['test'],
    why: 'workspaces of the e2e tests are repositories',
  },
  {
    label: 'busybox, statically linked',
    programs: ['busybox'],
    packages: { apt: 'busybox-static', dnf: 'busybox', pacman: 'busybox' },
    for: ['test'],
    why: 'programs in guests',
  },
  {
    label: 'openssl',
    programs: ['openssl'],
    packages: { apt: 'openssl', dnf: 'openssl', pacman: 'openssl', brew: 'openssl' },
    for: ['test'],
    why: 'signs as the pages describe',
  },
  {
    label: 'cpio',
    programs: ['cpio'],
    packages: { apt: 'cpio', dnf: 'cpio', pacman: 'cpio', brew: 'cpio' },
    for: ['test'],
    why: 'reads our initramfs archives',
  },
  {
    label: 'zstd',
    programs: ['zstd'],
    packages: { apt: 'zstd', dnf: 'zstd', pacman: 'zstd', brew: 'zstd' },
    for: ['test'],
    why: 'unpacks our compressed archives',
  },
  {
    label: 'xz',
    programs: ['xz'],
    packages: { apt: 'xz-utils', dnf: 'xz', pacman: 'xz', brew: 'xz' },
    for: ['test'],
    why: "extracts a kernel's vmlinux",
  },
  {
    label: 'dpkg',
    programs: ['dpkg-deb'],
    packages: { apt: 'dpkg', dnf: 'dpkg', pacman: 'dpkg', brew: 'dpkg' },
    for: ['test'],
    why: 'makes archives that we read',
  },
  {
    label: 'rpm',
    programs: ['rpmbuild'],
    packages: { apt: 'rpm', dnf: 'rpm-build', pacman: 'rpm-tools', brew: 'rpm' },
    for: ['test'],
    why: 'makes archives that we read',
  },
  {
    label: 'zip',
    programs: ['zip'],
    packages: { apt: 'zip', dnf: 'zip', pacman: 'zip', brew: 'zip' },
    for: ['test'],
    why: 'makes archives that we read',
  },
  {
    label: 'bzip2',
    programs: ['bzip2'],
    packages: { apt: 'bzip2', dnf: 'bzip2', pacman: 'bzip2', brew: 'bzip2' },
    for: ['test'],
    why: 'makes archives that we read',
  },
  {
    label: 'binutils',
    programs: ['objcopy'],
    packages: { apt: 'binutils', dnf: 'binutils', pacman: 'binutils' },
    for: ['test'],
    why: 'assembles machine code that is kept as bytes',
  },
  {
    label: 'binutils for arm64',
    programs: process.arch === 'arm64' ? ['objcopy'] : ['aarch64-linux-gnu-objcopy'],
    packages: {
      apt: 'binutils-aarch64-linux-gnu',
      dnf: 'binutils-aarch64-linux-gnu',
      pacman: 'aarch64-linux-gnu-binutils',
    },
    for: ['test'],
    why: 'the same for arm64',
  },
  {
    label: 'QEMU for arm64',
    programs: ['qemu-system-aarch64'],
    packages: { apt: 'qemu-system-arm', dnf: 'qemu-system-aarch64', pacman: 'qemu-system-aarch64', brew: 'qemu' },
    for: ['test'],
    why: 'boots arm64 guests',
  },
  {
    label: 'OVMF',
    programs: [
      '/usr/share/OVMF/OVMF_CODE_4M.fd',
      '/usr/share/edk2/ovmf/OVMF_CODE.fd',
      '/usr/share/edk2/x64/OVMF_CODE.4m.fd',
    ],
    packages: { apt: 'ovmf', dnf: 'edk2-ovmf', pacman: 'edk2-ovmf' },
    for: ['test'],
    why: 'the firmware in OVMF images',
  },
  {
    label: "systemd's stub for UKIs",
    programs: ['/usr/lib/systemd/boot/efi/linuxx64.efi.stub'],
    packages: { apt: 'systemd-boot-efi', dnf: 'systemd-boot-unsigned', pacman: 'systemd' },
    for: ['test'],
    why: 'makes UKIs',
  },
  {
    label: 'umoci',
    programs: ['umoci'],
    packages: { apt: 'umoci', dnf: 'umoci', pacman: 'umoci' },
    for: ['test'],
    why: 'makes container images',
  },
  {
    label: 'skopeo',
    programs: ['skopeo'],
    packages: { apt: 'skopeo', dnf: 'skopeo', pacman: 'skopeo', brew: 'skopeo' },
    for: ['test'],
    why: 'makes archives of container images',
  },
  {
    label: 'veritysetup',
    programs: ['veritysetup'],
    packages: { apt: 'cryptsetup-bin', dnf: 'veritysetup', pacman: 'cryptsetup' },
    for: ['test'],
    why: 'hashes file systems for dm-verity',
  },
  {
    label: 'e2fsprogs',
    programs: ['mke2fs'],
    packages: { apt: 'e2fsprogs', dnf: 'e2fsprogs', pacman: 'e2fsprogs', brew: 'e2fsprogs' },
    for: ['test'],
    why: 'makes file systems',
  },
  {
    label: 'Chromium',
    programs: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'],
    packages: { apt: 'chromium', dnf: 'chromium', pacman: 'chromium', winget: 'Hibbiki.Chromium' },
    for: ['test'],
    why: 'opens the page of inspect',
  },
];

/** Managers that install without questions. For the others, the command is only printed. */
const ASKS_NOTHING = ['apt', 'dnf', 'pacman', 'brew'];

/**
 * Installs the missing packages for `purpose`, if that is allowed and possible, and reports it.
 * @param {'demo' | 'test'} purpose
 * @param {{ install?: boolean, note?: (line: string) => void }} options
 * @returns {{ missing: string[], line: string | undefined }} what is still missing, and the command that would install it
 */
export function systemPackages(purpose, { install = true, note = (line) => console.log(`   ${line}`) } = {}) {
  const wanted = WANTED.filter((each) => each.for.includes(purpose));
  note(`needed: ${wanted.map(({ label, why }) => `${label} (${why})`).join(', ')}`);
  const system = thisSystem();
  let missing = wanted.filter(isMissing);
  if (missing.length === 0) {
    note('everything is installed');
    return { missing: [], line: undefined };
  }
  note(`missing: ${missing.map(({ label }) => label).join(', ')}`);
  const manager = packageManager(system);
  const why = whyNot(manager, system, install);
  if (why === undefined) {
    installAll(manager, system, missing, note);
    missing = missing.filter(isMissing);
    if (missing.length === 0) return { missing: [], line: undefined };
    note(`still missing: ${missing.map(({ label }) => label).join(', ')}`);
  } else {
    note(`installing nothing: ${why}`);
  }
  const line = installLine(missing, system);
  const elsewhere = missing.filter(({ packages }) => packages[manager?.name] === undefined);
  if (line !== undefined) note(`to install: ${line}`);
  if (elsewhere.length > 0) {
    const from = elsewhere.map(({ label, site }) => (site === undefined ? label : `${label} (${site})`)).join(', ');
    note(`${manager === undefined ? 'no known package manager' : `${manager.name} has no package`} for ${from}`);
  }
  return { missing: missing.map(({ label }) => label), line };
}

const isMissing = ({ programs }) =>
  !programs.some((program) => (isAbsolute(program) ? existsSync(program) : findProgram(program) !== undefined));

/** Why nothing can be installed by this process; undefined when it can. */
function whyNot(manager, { isRoot, search }, install) {
  if (!install) return '--no-install was given';
  if (manager === undefined) return 'no known package manager was found';
  if (!ASKS_NOTHING.includes(manager.name)) return `${manager.name} asks questions`;
  if (!manager.needsRoot || isRoot) return undefined;
  if (findProgram('sudo', search) === undefined) return 'this user is not root, and sudo is missing';
  if (!process.stdin.isTTY || !process.stderr.isTTY) return 'this user is not root, and sudo has no terminal to ask on';
  return undefined;
}

function installAll(manager, { isRoot }, missing, note) {
  const names = missing.flatMap(({ packages }) => packages[manager.name] ?? []);
  if (names.length === 0) return;
  const sudo = manager.needsRoot && !isRoot ? ['sudo'] : [];
  const started = Date.now();
  const run = (command) => {
    const args = [...sudo, ...(manager.name === 'apt' ? ['env', 'DEBIAN_FRONTEND=noninteractive'] : []), ...command];
    note(`$ ${[...sudo, ...command].join(' ')}`);
    return spawnLogged(args);
  };
  const commands = installCommands(manager, names);
  const last = commands.pop();
  // The old lists may still work.
  for (const command of commands)
    if (!run(command)) note('could not update the package lists; continuing with the old ones');
  if (run(last)) {
    note(`installed in ${Math.round((Date.now() - started) / 1000)} s`);
    return;
  }
  // One unknown package stops all, so try them one by one.
  if (names.length > 1) for (const name of names) run(installCommands(manager, [name]).at(-1));
}

/** Runs a command, and shows its output only if it fails. */
function spawnLogged([program, ...args]) {
  const log = join(root, 'tmp', 'system-packages.log');
  mkdirSync(dirname(log), { recursive: true });
  // sudo asks on the terminal itself.
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['inherit', 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
  });
  writeFileSync(log, `$ ${program} ${args.join(' ')}\n${stdout}${stderr}`, { flag: 'a' });
  if (status === 0) return true;
  const said = error?.message ?? stderr.trim().split('\n').slice(-5).join('\n');
  console.error(`${program} ${args.join(' ')} failed: ${said}\nIts output is in ${log}`);
  return false;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [purpose, ...options] = process.argv.slice(2);
  const isKnown = ['demo', 'test'].includes(purpose) && options.every((option) => option === '--no-install');
  if (!isKnown) {
    console.error('usage: node scripts/system-packages.mjs demo|test [--no-install]');
    process.exitCode = 2;
  } else {
    const { missing } = systemPackages(purpose, { install: options.length === 0, note: console.log });
    if (missing.length > 0) process.exitCode = 1;
  }
}
