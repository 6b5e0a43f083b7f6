import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cleanEnvironment, runOk } from './run';
import { NX_ENVIRONMENT, template } from './template';
import { Workspace } from './workspace';

/** A package manager, with the commands of its users. */
interface PackageManager {
  /** Its npm package and the tested version; none for npm, which is always there. */
  package?: string;
  /** Installs the packages in package.json. */
  install: string[];
  /** Runs nx. */
  nx: string[];
  /** Files of its workspaces besides package.json, nx.json and .gitignore. */
  files: Record<string, string>;
  env?: NodeJS.ProcessEnv;
}

/** A folder of packages, as in package.json. */
export const PACKAGES = 'images/*';

const YARN_ENVIRONMENT = {
  YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
  YARN_ENABLE_TELEMETRY: 'false',
  YARN_NPM_REGISTRY_SERVER: 'https://registry.npmjs.org',
};

const yarn = (nodeLinker: string): PackageManager => ({
  package: '@yarnpkg/cli-dist@4.18.1',
  install: ['yarn', 'install'],
  nx: ['yarn', 'nx'],
  files: { '.yarnrc.yml': `nodeLinker: ${nodeLinker}\n`, 'yarn.lock': '' },
  env: YARN_ENVIRONMENT,
});

/** The newest version of each that runs on the oldest supported Node. */
const MANAGERS = {
  npm: { install: ['npm', 'install', '--prefer-offline'], nx: ['npx', 'nx'], files: {} },
  pnpm: {
    package: 'pnpm@10',
    install: ['pnpm', 'install', '--prefer-offline'],
    nx: ['pnpm', 'exec', 'nx'],
    files: { 'pnpm-workspace.yaml': `packages:\n  - '${PACKAGES}'\nonlyBuiltDependencies:\n  - nx\n` },
  },
  'yarn, node_modules': yarn('node-modules'),
  'yarn, PnP': yarn('pnp'),
  bun: { package: 'bun@1.4.5', install: ['bun', 'install'], nx: ['bunx', 'nx'], files: {} },
} as const satisfies Record<string, PackageManager>;

export type PackageManagerName = keyof typeof MANAGERS;

/** Installs a package manager beside the packed plugin once. Returns the folder of its program. */
async function installManager(name: string): Promise<string> {
  const folder = join(template().workspace, '..', '..', `manager-${name.replace(/\W/g, '-')}`);
  if (!existsSync(folder)) {
    const draft = `${folder}.${process.pid}`;
    mkdirSync(draft, { recursive: true });
    await runOk('npm', ['install', '--no-audit', '--no-fund', '--prefix', draft, name], { cwd: draft });
    if (existsSync(folder)) rmSync(draft, { recursive: true, force: true });
    else renameSync(draft, folder);
  }
  return join(folder, 'node_modules', '.bin');
}

/** An environment in which a package manager is found first. */
async function managerEnvironment(manager: PackageManager): Promise<NodeJS.ProcessEnv> {
  if (manager.package === undefined) return {};
  const bin = await installManager(manager.package);
  return { ...manager.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
}

/** Makes an empty workspace with an Nx and packages below `images`, and adds the plugin like a user of the package manager. */
export async function workspaceWith(name: PackageManagerName, nx: string): Promise<Workspace> {
  const manager: PackageManager = MANAGERS[name];
  const managed = await managerEnvironment(manager);
  const workspace = await Workspace.create({ empty: true, env: managed, run: manager.nx });
  const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT, ...managed };
  const workspaces = name === 'pnpm' ? {} : { workspaces: [PACKAGES] };
  workspace.writeJson('package.json', {
    name: 'e2e',
    version: '0.0.0',
    private: true,
    ...workspaces,
    devDependencies: { nx },
  });
  workspace.writeJson('nx.json', { neverConnectToCloud: true });
  workspace.write('.gitignore', 'node_modules\n.nx\n.yarn\n.pnp.*\n');
  for (const [file, content] of Object.entries(manager.files)) workspace.write(file, content);
  const [command, ...args] = manager.install as [string, ...string[]];
  await runOk(command, args, { cwd: workspace.root, env });
  await addPlugin(workspace);
  return workspace;
}

/** Adds the plugin from a tarball in the workspace, which every package manager finds. */
export async function addPlugin(workspace: Workspace): Promise<void> {
  workspace.write('.nx/nx-igvm.tgz', readFileSync(template().tarball));
  await workspace.nxOk('add', 'nx-igvm@file:./.nx/nx-igvm.tgz');
}

/** The workspace that create-nx-workspace makes for a preset, with the newest Nx in it, and with the plugin. */
export async function createNxWorkspace(preset: string): Promise<Workspace> {
  const workspace = await Workspace.create({ empty: true, run: ['npx', 'nx'] });
  const folder = workspace.path('.');
  const args = ['--preset', preset, '--pm=npm', '--nxCloud=skip', '--skipGit', '--no-interactive'];
  rmSync(folder, { recursive: true });
  const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT };
  await runOk('npx', ['--yes', 'create-nx-workspace@latest', 'workspace', ...args], { cwd: join(folder, '..'), env });
  await workspace.git('init', '-q', '-b', 'main');
  await addPlugin(workspace);
  return workspace;
}
