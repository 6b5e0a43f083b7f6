// A stock Debian kernel to boot images with: the newest installed one, or the one that Debian's linux-image-amd64 depends
// on, downloaded and unpacked without installing it. As a program it prints the result as JSON:
//   node scripts/debian-kernel.mjs [CACHE_DIRECTORY]
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where unpacked kernels are kept between runs. */
export const KERNEL_CACHE = join(root, 'tmp', 'debian-kernel');

/**
 * @typedef {object} DebianKernel
 * @property {string} vmlinuz absolute path of the bzImage
 * @property {string} version as `uname -r` prints it
 */

/**
 * @param {string} [cache] folder that keeps a downloaded kernel
 * @param {(line: string) => void} [log] told what takes long
 * @returns {DebianKernel}
 * @throws an Error whose message says what to install
 */
export function debianKernel(cache = KERNEL_CACHE, log = () => {}) {
  return newestKernel('/boot') ?? newestKernel(join(cache, 'boot')) ?? download(cache, log);
}

/** @returns {DebianKernel | undefined} */
function newestKernel(folder) {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^vmlinuz-.*amd64$/.test(name)) : [];
  const readable = names.filter((name) => {
    try {
      accessSync(join(folder, name), constants.R_OK);
      return true;
    } catch {
      return false;
    }
  });
  const newest = readable.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  return newest && { vmlinuz: join(folder, newest), version: newest.slice('vmlinuz-'.length) };
}

/** @returns {DebianKernel} */
function download(cache, log) {
  const depends = run('apt-cache', ['depends', 'linux-image-amd64'], '/');
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) {
    throw new Error(
      'apt knows no package linux-image-amd64: run "apt-get update" on an amd64 Debian, or install a kernel',
    );
  }
  log(`downloading Debian's ${name}`);
  mkdirSync(dirname(cache), { recursive: true });
  const work = `${cache}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  try {
    run('apt-get', ['download', name], work);
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
    run('dpkg-deb', ['-x', archive, 'unpacked'], work);
    rmSync(cache, { recursive: true, force: true });
    mkdirSync(cache);
    renameSync(join(work, 'unpacked', 'boot'), join(cache, 'boot'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return newestKernel(join(cache, 'boot'));
}

function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const reason = error.code === 'ENOENT' ? 'there is no such program' : String(error.stderr).trim();
    throw new Error(
      `no Debian kernel: ${command} ${args.join(' ')}: ${reason}\nInstall a kernel (Debian: apt-get install linux-image-amd64), or run "apt-get update" so that one can be downloaded.`,
    );
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    console.log(
      JSON.stringify(debianKernel(process.argv[2], (line) => console.error(`${basename(process.argv[1])}: ${line}`))),
    );
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
