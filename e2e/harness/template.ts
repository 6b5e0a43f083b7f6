import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { cleanEnvironment, runOk } from './run';

/** The repository. */
export const REPOSITORY = resolve(__dirname, '..', '..');

/** The Nx that the tests use: the one of the repository. */
export const NX_VERSION = (
  JSON.parse(readFileSync(join(REPOSITORY, 'node_modules', 'nx', 'package.json'), 'utf8')) as { version: string }
).version;

/** The packed plugin, and a workspace that it was added to as a user adds it. */
export interface Template {
  tarball: string;
  workspace: string;
  /** What `nx add` printed. */
  log: string;
}

const HOME = join(tmpdir(), `nx-igvm-e2e-${userInfo().username}`);
const PACKED = ['package.json', 'executors.json', 'generators.json', 'migrations.json', 'dist', 'schemas'];

/** The template of the plugin as it is built now. Made once for all suites, by the global setup. */
export function template(): Template {
  const home = join(HOME, contentKey());
  const workspace = join(home, 'workspace');
  const tarball = existsSync(home) ? readdirSync(home).find((file) => file.endsWith('.tgz')) : undefined;
  if (tarball === undefined) {
    throw new Error('the plugin has changed since the e2e tests began');
  }
  return { tarball: join(home, tarball), workspace, log: readFileSync(join(home, 'add.log'), 'utf8') };
}

/** Packs the plugin and adds it to a new workspace, unless that was done for exactly this plugin. */
export async function prepareTemplate(): Promise<void> {
  if (!existsSync(join(REPOSITORY, 'dist', 'index.js'))) {
    throw new Error('the e2e tests run the built plugin: npm run build');
  }
  const home = join(HOME, contentKey());
  if (existsSync(home)) {
    return;
  }
  mkdirSync(HOME, { recursive: true });
  removeOld();
  const draft = `${home}.${process.pid}`;
  const workspace = join(draft, 'workspace');
  mkdirSync(workspace, { recursive: true });
  const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT, npm_config_audit: 'false', npm_config_fund: 'false' };
  await runOk('npm', ['pack', '--ignore-scripts', '--pack-destination', draft], { cwd: REPOSITORY, env });
  const tarball = readdirSync(draft).find((file) => file.endsWith('.tgz')) as string;

  writeJson(workspace, 'package.json', {
    name: 'e2e',
    version: '0.0.0',
    private: true,
    devDependencies: { nx: NX_VERSION },
  });
  writeJson(workspace, 'nx.json', { neverConnectToCloud: true });
  writeFileSync(join(workspace, '.gitignore'), 'node_modules\n.nx\n');
  await runOk('npm', ['install', '--prefer-offline'], { cwd: workspace, env });
  const added = await runOk(join(workspace, 'node_modules', '.bin', 'nx'), ['add', `nx-igvm@file:../${tarball}`], {
    cwd: workspace,
    env,
  });
  writeFileSync(join(draft, 'add.log'), added);
  // Someone else may have been faster.
  if (existsSync(home)) rmSync(draft, { recursive: true, force: true });
  else renameSync(draft, home);
}

/** Earlier templates; not those that other test runs may be using. */
function removeOld(): void {
  const yesterday = Date.now() - 24 * 3600 * 1000;
  for (const name of readdirSync(HOME)) {
    const path = join(HOME, name);
    if (statSync(path).mtimeMs < yesterday) rmSync(path, { recursive: true, force: true });
  }
}

/** Nx without its background process, its terminal interface and its questions. */
export const NX_ENVIRONMENT = {
  NX_DAEMON: 'false',
  NX_ISOLATE_PLUGINS: 'false',
  NX_TUI: 'false',
  NX_INTERACTIVE: 'false',
  NX_NO_CLOUD: 'true',
} as const;

function writeJson(folder: string, file: string, value: unknown): void {
  writeFileSync(join(folder, file), `${JSON.stringify(value, null, 2)}\n`);
}

/** Names what goes into the tarball, and the Nx beside it. */
function contentKey(): string {
  const hash = createHash('sha256').update(NX_VERSION);
  const visit = (path: string, name: string): void => {
    if (!existsSync(path)) {
      return;
    }
    const entries = name.includes('.') ? undefined : tryReadFolder(path);
    if (entries === undefined) {
      hash.update(`${name}\0`).update(readFileSync(path));
      return;
    }
    for (const entry of entries.sort()) {
      visit(join(path, entry), entry);
    }
  };
  for (const name of PACKED) {
    visit(join(REPOSITORY, name), name);
  }
  return hash.digest('hex').slice(0, 16);
}

function tryReadFolder(path: string): string[] | undefined {
  try {
    return readdirSync(path);
  } catch {
    return undefined;
  }
}

/** Copies a folder; its files stay shared with the original where the file system can do that. */
export async function copyFolder(from: string, to: string): Promise<void> {
  try {
    await runOk('cp', ['-al', from, to], { cwd: REPOSITORY });
  } catch {
    rmSync(to, { recursive: true, force: true });
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  }
}
