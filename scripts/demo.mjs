// `npm run demo`: what a user does with the plugin, from an empty folder to a booted guest, on real input: a Debian kernel
// and an initramfs around busybox. Says every step before it takes it. Leaves the workspace to be looked at with --keep.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianKernel } from './debian-kernel.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const keep = process.argv.includes('--keep');
const home = mkdtempSync(join(tmpdir(), 'nx-igvm-demo-'));
const workspace = join(home, 'my-images');
/** Nx without its background process, so that nothing outlives the demo. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NX_|npm_(?!config_registry))/.test(name))),
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_INTERACTIVE: 'false',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
};

/** Something that the demo needs isn't there; the message says what to install. */
class Missing extends Error {}

let step = 0;

try {
  demo();
} catch (error) {
  if (!(error instanceof Missing)) throw error;
  console.error(`\n${error.message}`);
  process.exitCode = 1;
} finally {
  if (keep) console.log(`\nThe workspace stays at ${workspace}`);
  else rmSync(home, { recursive: true, force: true });
}

function demo() {
  const busybox = find('busybox', 'a statically linked busybox (Debian: apt-get install busybox-static)');
  find('qemu-system-x86_64', 'QEMU (Debian: apt-get install qemu-system-x86)', 'cloud-hypervisor');

  say('Finding a Debian kernel');
  const kernel = tryOrMiss(() => debianKernel(undefined, note));
  note(`${kernel.vmlinuz}, ${megabytes(kernel.vmlinuz)}`);

  say('Packing the plugin, as it would be published');
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', home], root);
  const tarball = readdirSync(home).find((file) => file.endsWith('.tgz'));

  say('Making an empty Nx workspace');
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules', 'nx', 'package.json'), 'utf8'));
  mkdirSync(workspace);
  writeJson('package.json', { name: 'my-images', version: '0.0.0', private: true, devDependencies: { nx: version } });
  writeJson('nx.json', { neverConnectToCloud: true });
  writeFileSync(join(workspace, '.gitignore'), 'node_modules\n.nx\n');
  run('npm', ['install', '--silent']);
  note(`Nx ${version}`);

  say('Adding the plugin to it');
  nx('add', `nx-igvm@file:../${tarball}`);

  say('Generating an initramfs, with busybox and an /init that says what it runs on');
  nx('g', 'nx-igvm:initrd', 'initrd', `--busybox=${busybox}`);

  say('Generating a guest image from the kernel and that initramfs');
  nx(
    'g',
    'nx-igvm:guest-image',
    'guest-image',
    `--kernel=${kernel.vmlinuz}`,
    '--initrd=initrd:build:dist/initrd/initrd.cpio',
    '--commandLine=console=ttyS0 quiet panic=-1',
  );
  console.log(readFileSync(join(workspace, 'guest-image', 'igvm.json'), 'utf8'));

  say('Building the image: the initramfs first, as it depends on it');
  nx('build', 'guest-image');

  say('Building it again: nothing changed, so it comes from the cache');
  nx('build', 'guest-image');

  say('Booting it until the guest says that it is up');
  nx('boot', 'guest-image', '--until=is up: Linux', '--timeout=180');

  say('Done: the guest is up');
}

function tryOrMiss(action) {
  try {
    return action();
  } catch (error) {
    throw new Missing(error.message);
  }
}

function say(what) {
  step += 1;
  console.log(`\n${step}. ${what}`);
}

function note(text) {
  console.log(`   ${text}`);
}

/** The first of the programs that is in PATH. */
function find(program, what, ...others) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of [program, ...others]) {
    const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (found !== undefined) return found;
  }
  throw new Missing(`The demo needs ${what}.`);
}

function nx(...args) {
  note(`$ nx ${args.map((arg) => (/[\s"]/.test(arg) ? `"${arg}"` : arg)).join(' ')}`);
  run(join(workspace, 'node_modules', '.bin', 'nx'), args);
}

function run(command, args, cwd = workspace) {
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined || status !== 0) {
    throw new Missing(`${command} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`);
  }
}

function writeJson(file, value) {
  writeFileSync(join(workspace, file), `${JSON.stringify(value, null, 2)}\n`);
}

function megabytes(path) {
  return `${(readFileSync(path).length / 1e6).toFixed(1)} MB`;
}
