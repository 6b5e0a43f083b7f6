// `npm run demo`: a user's first steps, from an empty folder to a booted guest, with a real Linux kernel and an initramfs with the
// plugin's own /init. Prints every step before it runs.
//   npm run demo -- --keep           keeps the workspace
//   npm run demo -- --kernel FILE    uses this kernel (a bzImage)
//   npm run demo -- --no-install     installs no system packages
// Without a VMM, the image is built, measured and inspected, but not booted.
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
/** Nx without its daemon, so that no process is left. */
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NX_|npm_(?!config_registry))/.test(name))),
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_INTERACTIVE: 'false',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
};

/** Ends the demo with a message that says what to do. */
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
  if (keep) console.log(`\nThe workspace is in ${workspace}`);
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
    throw new Stopped(`${error.message}\nThe demo accepts --keep, --kernel FILE and --no-install.`);
  }
}

function demo(options) {
  say('Checking system packages');
  const { missing, line } = systemPackages('demo', { install: !options['no-install'], note });

  say('Finding a Linux kernel');
  if (options.kernel !== undefined) process.env.NX_IGVM_KERNEL = resolve(options.kernel);
  const kernel = orStop(() => debianKernel(note));
  note(`${kernel.vmlinuz}, ${(statSync(kernel.vmlinuz).size / 1e6).toFixed(1)} MB`);

  say('Packing the plugin as for publication');
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', home], root);
  const tarball = readdirSync(home).find((file) => file.endsWith('.tgz'));

  say('Creating an empty Nx workspace');
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules', 'nx', 'package.json'), 'utf8'));
  mkdirSync(workspace);
  writeJson('package.json', { name: 'my-images', version: '0.0.0', private: true, devDependencies: { nx: version } });
  writeJson('nx.json', { neverConnectToCloud: true });
  writeFileSync(join(workspace, '.gitignore'), 'node_modules\n.nx\n');
  run('npm', ['install', '--silent']);
  note(`Nx ${version}`);

  say('Adding the plugin');
  nx('add', `nx-igvm@file:../${tarball}`);

  say('Generating an initramfs with a small /init');
  nx('g', 'nx-igvm:initrd', 'initrd');

  say('Generating a guest image with the kernel and the initramfs');
  nx(
    'g',
    'nx-igvm:guest-image',
    'guest-image',
    `--kernel=${kernel.vmlinuz}`,
    '--initrd=initrd',
    '--commandLine=console=ttyS0 quiet panic=-1',
  );
  console.log(readFileSync(join(workspace, 'guest-image', 'igvm.json'), 'utf8'));

  say('Building the image, and first the initramfs that it uses');
  nx('build', 'guest-image');

  say('Building it again, from the cache because nothing changed');
  nx('build', 'guest-image');

  if (missing.length > 0) {
    say('Measuring and inspecting the image instead of booting it');
    const image = join('dist', 'guest-image', 'guest-image.igvm');
    nxIgvm('measure', image);
    nxIgvm('inspect', image, '--format', 'text');
    say(`Done without booting, because ${missing.join(' and ')} is missing`);
    note(line === undefined ? 'https://www.qemu.org/download/' : `to install: ${line}`);
  } else {
    say('Booting the image until the guest is up');
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
