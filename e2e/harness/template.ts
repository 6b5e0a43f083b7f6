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
import { basename, join, resolve } from 'node:path';
import { cleanEnvironment, runOk } from './run';

/** The repository. */
export const REPOSITORY = resolve(__dirname, '..', '..');

const OWN_NX = (
  JSON.parse(readFileSync(join(REPOSITORY, 'node_modules', 'nx', 'package.json'), 'utf8')) as { version: string }
).version;

/** The newest Nx of each major version that the plugin supports. docs/compatibility.md lists the tests for each version. */
export const NX_VERSIONS = { 21: '21.6.11', 22: '22.7.12', 23: '23.3.2', 24: OWN_NX } as const;

/** The default Nx of tests: the repository's, or the version in NX_IGVM_NX. */
export const NX_VERSION = process.env['NX_IGVM_NX'] ?? OWN_NX;

/** The packed plugin, and a workspace to which it was added in the way of a user. */
export interface Template {
  tarball: string;
  workspace: string;
  /** The output of `nx add`. */
  log: string;
}

const HOME = join(tmpdir(), `nx-igvm-e2e-${userInfo().username}`);
const PACKED = ['package.json', 'executors.json', 'generators.json', 'migrations.json', 'dist', 'schemas'];

/** The folder for the packed plugin of the present build, with a workspace for each Nx below it. */
const homeOfBuild = (): string => join(HOME, contentKey());

/**
 * The template for the present build of the plugin.
 * @param nx a prepared version; the global setup prepares the repository's
 */
export function template(nx: string = NX_VERSION): Template {
  const home = join(homeOfBuild(), nx);
  if (!existsSync(home)) {
    throw new Error(`the plugin has changed since the e2e tests began, or there is no template for Nx ${nx}`);
  }
  const log = readFileSync(join(home, 'add.log'), 'utf8');
  return { tarball: tarballIn(homeOfBuild()) as string, workspace: join(home, 'workspace'), log };
}

const tarballIn = (folder: string): string | undefined => {
  const file = readdirSync(folder).find((each) => each.endsWith('.tgz'));
  return file === undefined ? undefined : join(folder, file);
};

/** Packs the plugin and adds it to a new workspace with an Nx, unless that was already done for this build and this Nx. */
export async function prepareTemplate(nx: string = NX_VERSION): Promise<Template> {
  const home = await packPlugin();
  if (!existsSync(join(home, nx))) {
    await addToWorkspace(home, nx);
  }
  return template(nx);
}

const INSTALL_ENVIRONMENT = { npm_config_audit: 'false', npm_config_fund: 'false' };

/** The folder with the plugin's tarball. */
async function packPlugin(): Promise<string> {
  if (!existsSync(join(REPOSITORY, 'dist', 'index.js'))) {
    throw new Error('the e2e tests run the built plugin: npm run build');
  }
  const home = homeOfBuild();
  if (existsSync(home)) return home;
  mkdirSync(HOME, { recursive: true });
  removeOld();
  const draft = `${home}.${process.pid}`;
  mkdirSync(draft);
  const env = { ...cleanEnvironment(), ...INSTALL_ENVIRONMENT };
  await runOk('npm', ['pack', '--ignore-scripts', '--pack-destination', draft], { cwd: REPOSITORY, env });
  moveInPlace(draft, home);
  return home;
}

async function addToWorkspace(home: string, nx: string): Promise<void> {
  const draft = join(home, `${nx}.${process.pid}`);
  const workspace = join(draft, 'workspace');
  mkdirSync(workspace, { recursive: true });
  const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT, ...INSTALL_ENVIRONMENT };
  writeJson(workspace, 'package.json', {
    name: 'e2e',
    version: '0.0.0',
    private: true,
    devDependencies: { nx },
  });
  writeJson(workspace, 'nx.json', { neverConnectToCloud: true });
  writeFileSync(join(workspace, '.gitignore'), 'node_modules\n.nx\n');
  await runOk('npm', ['install', '--prefer-offline'], { cwd: workspace, env });
  const tarball = `nx-igvm@file:../../${basename(tarballIn(home) as string)}`;
  const added = await runOk(join(workspace, 'node_modules', '.bin', 'nx'), ['add', tarball], { cwd: workspace, env });
  writeFileSync(join(draft, 'add.log'), added);
  moveInPlace(draft, join(home, nx));
}

/** Another process may have been faster. */
function moveInPlace(draft: string, path: string): void {
  if (existsSync(path)) rmSync(draft, { recursive: true, force: true });
  else renameSync(draft, path);
}

/** Removes earlier templates, except those that other test runs may be using. */
function removeOld(): void {
  const yesterday = Date.now() - 24 * 3600 * 1000;
  for (const name of readdirSync(HOME)) {
    const path = join(HOME, name);
    if (statSync(path).mtimeMs < yesterday) rmSync(path, { recursive: true, force: true });
  }
}

/** Nx without its daemon, its terminal interface and its prompts. */
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

/** Lists the files of the tarball. */
function contentKey(): string {
  const hash = createHash('sha256');
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

/** Copies a folder. Its files share their data with the original if the file system supports that. */
export async function copyFolder(from: string, to: string): Promise<void> {
  try {
    await runOk('cp', ['-al', from, to], { cwd: REPOSITORY });
  } catch {
    rmSync(to, { recursive: true, force: true });
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  }
}
