import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cleanEnvironment, runOk } from './run';
import { NX_ENVIRONMENT, NX_VERSION, template } from './template';
import type { Workspace } from './workspace';

/** The last pnpm that runs on the oldest Node that we support. */
const PNPM = 'pnpm@10';

/** Installs pnpm beside the packed plugin, once; returns the folder of its program. */
async function installPnpm(): Promise<string> {
  const folder = join(template().workspace, '..', 'pnpm');
  const bin = join(folder, 'node_modules', '.bin');
  if (!existsSync(join(bin, 'pnpm'))) {
    mkdirSync(folder, { recursive: true });
    await runOk('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder, PNPM], { cwd: folder });
  }
  return bin;
}

/** The environment in which pnpm is the package manager at hand. */
export async function pnpmEnvironment(): Promise<NodeJS.ProcessEnv> {
  const bin = await installPnpm();
  return { PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
}

/** Makes an empty workspace of pnpm packages, and adds the plugin to it as a user does. */
export async function addWithPnpm(workspace: Workspace): Promise<void> {
  const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT, ...(await pnpmEnvironment()) };
  workspace.writeJson('package.json', { name: 'e2e', version: '0.0.0', private: true });
  workspace.writeJson('nx.json', { neverConnectToCloud: true });
  workspace.write('pnpm-workspace.yaml', "packages:\n  - 'images/*'\nonlyBuiltDependencies:\n  - nx\n");
  workspace.write('.gitignore', 'node_modules\n.nx\n');
  await runOk('pnpm', ['add', '-D', '-w', '--prefer-offline', `nx@${NX_VERSION}`], { cwd: workspace.root, env });
  await workspace.nxOk('add', `nx-igvm@file:${template().tarball}`);
}
