// A Linux kernel to boot images with: the newest in /boot, or the one that Debian's linux-image-amd64 depends on, downloaded with
// apt and unpacked without installing it, which needs no root. As a program it prints the result as JSON:
//   node scripts/debian-kernel.mjs [amd64|arm64] [--modules]
// With --modules it is always the downloaded one, and the result also names the files of the modules that tests load.
// NX_IGVM_KERNEL names another one for amd64.
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The folder for downloaded kernels. */
const CACHE = join(root, 'tmp', 'debian-kernel');

const VIRTIO = ['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'];

/** The modules that guests load, in an order in which each comes after those that it needs. */
const MODULES = {
  network: [...VIRTIO, 'failover', 'net_failover', 'virtio_net'],
  /** A disk with a verified file system. */
  verity: [
    ...VIRTIO,
    'virtio_blk',
    'reed_solomon',
    'dm-mod',
    'dm-bufio',
    'dm-verity',
    'crc16',
    'crc32c_generic',
    'libcrc32c',
    'mbcache',
    'jbd2',
    'ext4',
  ],
};

/** A kernel for systems without apt: a single file, not a package. */
const ELSEWHERE =
  'https://deb.debian.org/debian/dists/stable/main/installer-amd64/current/images/netboot/debian-installer/amd64/linux';

/**
 * @typedef {object} Kernel
 * @property {string} vmlinuz absolute path of the bzImage, or for arm64 the Image
 * @property {string} version as `uname -r` prints it, or the file's name if that is unknown
 */

/**
 * @param {(line: string) => void} [log] called before slow steps
 * @param {'amd64' | 'arm64'} [architecture]
 * @returns {Kernel}
 * @throws an Error whose message says what to do
 */
export function debianKernel(log = () => {}, architecture = 'amd64') {
  const cache = join(CACHE, architecture, 'boot');
  if (architecture !== 'amd64') return newestKernel(cache) ?? download(architecture, log);
  const named = process.env.NX_IGVM_KERNEL;
  if (named !== undefined) {
    if (!isBzImage(named)) throw new Error(`${named} is not a Linux kernel for x86-64 that can be read (a bzImage)`);
    return { vmlinuz: resolve(named), version: basename(named) };
  }
  return newestKernel('/boot') ?? newestKernel(cache) ?? download(architecture, log);
}

/**
 * Debian's kernel with some of its modules.
 * @param {(line: string) => void} [log]
 * @returns {Kernel & { modules: { network: string[], verity: string[] } }} absolute paths of the modules, in the order in which they
 *   are loaded, without those that are built in
 * @throws an Error whose message says what to do
 */
export function debianKernelWithModules(log = () => {}) {
  const cache = join(CACHE, 'amd64');
  const folder = join(cache, 'modules');
  // A kernel that was downloaded by an earlier version has no modules.
  const kernel = (existsSync(folder) ? newestKernel(join(cache, 'boot')) : undefined) ?? download('amd64', log);
  const paths = (names) => names.map((name) => join(folder, `${name}.ko`)).filter((path) => existsSync(path));
  return { ...kernel, modules: { network: paths(MODULES.network), verity: paths(MODULES.verity) } };
}

/** @returns {Kernel | undefined} */
function newestKernel(folder) {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith('vmlinuz-')) : [];
  const isArm = basename(dirname(folder)) === 'arm64';
  const usable = names.filter((name) => isArm || isBzImage(join(folder, name)));
  const newest = usable.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  return newest && { vmlinuz: join(folder, newest), version: newest.slice('vmlinuz-'.length) };
}

/** Whether it can be read and has the header of a bzImage (Linux, Documentation/arch/x86/boot.rst). On some systems, only root may read it. */
function isBzImage(path) {
  const header = Buffer.alloc(0x206);
  try {
    accessSync(path, constants.R_OK);
    const file = openSync(path, 'r');
    try {
      readSync(file, header, 0, header.length, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
  return header.toString('latin1', 0x202, 0x206) === 'HdrS';
}

/** @returns {Kernel} */
function download(architecture, log) {
  const cache = join(CACHE, architecture);
  mkdirSync(CACHE, { recursive: true });
  const work = `${cache}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  try {
    unpackPackage(work, architecture, log);
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
    run('dpkg-deb', ['-x', archive, 'unpacked'], work);
    rmSync(cache, { recursive: true, force: true });
    mkdirSync(cache);
    mkdirSync(join(work, 'modules'));
    if (architecture === 'amd64') keepModules(join(work, 'unpacked'), join(work, 'modules'));
    renameSync(join(work, 'modules'), join(cache, 'modules'));
    renameSync(join(work, 'unpacked', 'boot'), join(cache, 'boot'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return newestKernel(join(cache, 'boot'));
}

/** The needed modules, out of several hundred megabytes. A kernel may have some built in, and others compressed. */
function keepModules(unpacked, folder) {
  for (const path of readdirSync(unpacked, { recursive: true })) {
    const [, name, isCompressed] = /([^/]+)\.ko(\.xz)?$/.exec(path) ?? [];
    if (!Object.values(MODULES).flat().includes(name)) continue;
    const file = join(folder, `${name}.ko`);
    if (isCompressed) writeFileSync(file, execFileSync('xz', ['-dc', join(unpacked, path)], { maxBuffer: 2 ** 28 }));
    else copyFileSync(join(unpacked, path), file);
  }
}

/** Downloads with the system's package lists, otherwise with our own lists, because only root may update the system's. */
function unpackPackage(work, architecture, log) {
  try {
    if (architecture === 'amd64') return downloadPackage(work, architecture, {}, log);
  } catch {
    // The lists may be missing or too old.
  }
  for (const folder of ['state/lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(work, 'apt', folder), { recursive: true });
  }
  const config = join(work, 'apt', 'apt.conf');
  const status = join(work, 'apt', 'state', 'status');
  writeFileSync(status, '');
  writeFileSync(
    config,
    `APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "${join(work, 'apt', 'state')}";
Dir::State::status "${status}";
Dir::Cache "${join(work, 'apt', 'cache')}";
`,
  );
  const env = { APT_CONFIG: config };
  log("fetching Debian's lists of packages");
  run('apt-get', ['update', '-qq'], work, env);
  downloadPackage(work, architecture, env, log);
}

function downloadPackage(work, architecture, env, log) {
  const depends = run('apt-cache', ['depends', `linux-image-${architecture}`], work, env);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(missing(`apt knows no package linux-image-${architecture}`));
  log(`downloading Debian's ${name}`);
  run('apt-get', ['download', '-qq', name], work, env);
}

function run(command, args, cwd, env = {}) {
  try {
    const options = { cwd, encoding: 'utf8', env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] };
    return execFileSync(command, args, options);
  } catch (error) {
    const reason = error.code === 'ENOENT' ? 'there is no such program' : String(error.stderr).trim();
    throw new Error(missing(`${command} ${args.join(' ')}: ${reason}`));
  }
}

const missing = (why) =>
  `There is no Linux kernel in /boot that can be read, and none can be downloaded (${why}).
Name a bzImage for x86-64 with --kernel FILE (npm run demo -- --kernel FILE) or in NX_IGVM_KERNEL. Debian's is at
${ELSEWHERE}`;

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const log = (line) => console.error(`${basename(process.argv[1])}: ${line}`);
    const [architecture, modules] = process.argv.slice(2);
    const kernel = modules === '--modules' ? debianKernelWithModules(log) : debianKernel(log, architecture);
    console.log(JSON.stringify(kernel));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
