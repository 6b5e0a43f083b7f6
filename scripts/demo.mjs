// `npm run demo`: what a user does with the plugin, from an empty folder to a booted guest, on real input: a Linux kernel, and an
// initramfs with the first program that the plugin brings. Says every step before it takes it.
//   npm run demo -- --keep           leaves the workspace to be looked at
//   npm run demo -- --kernel FILE    takes this kernel (a bzImage)
//   npm run demo -- --no-install     installs no system packages
// Without a VMM it goes as far as it gets: the image is built, measured and inspected.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianKernel } from './debian-kernel.mjs';
import { systemPackages } from './system-packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
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

/** The demo can't go on; the message says what to do. */
class Stopped extends Error {}

let step = 0;
let keep = false;
const started = Date.now();

try {
  const { values } = readOptions();
  keep = values.keep;
  demo(values);
} catch (error) {
  if (!(error instanceof Stopped)) throw error;
  console.error(`\n${error.message}`);
  process.exitCode = 1;
} finally {
  if (keep) console.log(`\nThe workspace stays at ${workspace}`);
  else rmSync(home, { recursive: true, force: true });
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        kernel: { type: 'string' },
        'no-install': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new Stopped(`${error.message}\nThe demo takes --keep, --kernel FILE and --no-install.`);
  }
}

function demo(options) {
  say('Looking for the programs of the system that this wants');
  const { missing, line } = systemPackages('demo', { install: !options['no-install'], note });

  say('Finding a Linux kernel');
  if (options.kernel !== undefined) process.env.NX_IGVM_KERNEL = resolve(options.kernel);
  const kernel = orStop(() => debianKernel(note));
  note(`${kernel.vmlinuz}, ${(statSync(kernel.vmlinuz).size / 1e6).toFixed(1)} MB`);

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

  say('Generating an initramfs, whose /init says what it runs on');
  nx('g', 'nx-igvm:initrd', 'initrd');

  say('Generating a guest image from the kernel and that initramfs');
  nx(
    'g',
    'nx-igvm:guest-image',
    'guest-image',
    `--kernel=${kernel.vmlinuz}`,
    '--initrd=initrd',
    '--commandLine=console=ttyS0 quiet panic=-1',
  );
  console.log(readFileSync(join(workspace, 'guest-image', 'igvm.json'), 'utf8'));

  say('Building the image: the initramfs first, as it depends on it');
  nx('build', 'guest-image');

  say('Building it again: nothing changed, so it comes from the cache');
  nx('build', 'guest-image');

  if (missing.length > 0) {
    say('Measuring and inspecting the image, in place of booting it');
    const image = join('dist', 'guest-image', 'guest-image.igvm');
    nxIgvm('measure', image);
    nxIgvm('inspect', image, '--format', 'text');
    say(
      `Done, but for the boot: ${missing.join(' and ')} is missing, so the image was built, measured and inspected, and no guest was started`,
    );
    note(line === undefined ? 'https://www.qemu.org/download/' : `to install it: ${line}`);
  } else {
    say('Booting it until the guest says that it is up');
    nx('boot', 'guest-image', '--until=is up: Linux', '--timeout=180');
    say('Done: the guest is up');
  }
  note(`${Math.round((Date.now() - started) / 1000)} s`);
}

function orStop(action) {
  try {
    return action();
  } catch (error) {
    throw new Stopped(error.message);
  }
}

function say(what) {
  step += 1;
  console.log(`\n${step}. ${what}`);
}

function note(text) {
  console.log(`   ${text}`);
}

function nx(...args) {
  note(`$ nx ${args.map((arg) => (/[\s"]/.test(arg) ? `"${arg}"` : arg)).join(' ')}`);
  run(join(workspace, 'node_modules', '.bin', 'nx'), args);
}

function nxIgvm(...args) {
  note(`$ npx nx-igvm ${args.join(' ')}`);
  run(join(workspace, 'node_modules', '.bin', 'nx-igvm'), args);
}

function run(command, args, cwd = workspace) {
  // npm and the programs of packages are scripts on Windows.
  const shell = process.platform === 'win32';
  const quote = (text) => (shell ? `"${text}"` : text);
  const { status, error } = spawnSync(quote(command), args.map(quote), {
    cwd,
    env,
    shell,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error !== undefined || status !== 0) {
    throw new Stopped(`${command} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`);
  }
}

function writeJson(file, value) {
  writeFileSync(join(workspace, file), `${JSON.stringify(value, null, 2)}\n`);
}
