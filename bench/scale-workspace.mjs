// Workspaces with many image projects and the built plugin in them, as if it had been installed; nothing is downloaded.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure } from './measure.mjs';

const repository = join(dirname(fileURLToPath(import.meta.url)), '..');
const PACKED = ['package.json', 'executors.json', 'generators.json', 'migrations.json', 'dist', 'schemas'];

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

/** The packages of the workspace: the repository's, and a copy of the plugin. */
function install(root) {
  const modules = join(root, 'node_modules');
  mkdirSync(join(modules, 'nx-igvm'), { recursive: true });
  for (const name of readdirSync(join(repository, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(repository, 'node_modules', name), join(modules, name));
  }
  for (const name of PACKED) {
    if (existsSync(join(repository, name)))
      cpSync(join(repository, name), join(modules, 'nx-igvm', name), { recursive: true });
  }
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  const devDependencies = { 'nx-igvm': version };
  writeJson(join(root, 'package.json'), { name: 'scale', version: '0.0.0', private: true, devDependencies });
  const packages = { '': { name: 'scale', version: '0.0.0', devDependencies }, 'node_modules/nx-igvm': { version } };
  writeJson(join(root, 'package-lock.json'), { name: 'scale', version: '0.0.0', lockfileVersion: 3, packages });
}

class ScaleWorkspace {
  constructor(home, root) {
    this.home = home;
    this.root = root;
  }

  /** Runs Nx; resolves to its cost. */
  nx(...args) {
    const program = join(this.root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js');
    return measure(process.execPath, [program, ...args], { cwd: this.root, env: environment(this.home) });
  }

  /** Nx's description of a project: all its targets, inferred or not. */
  async projects() {
    const file = join(this.home, 'graph.json');
    await this.nx('graph', `--file=${file}`);
    const { nodes } = JSON.parse(readFileSync(file, 'utf8')).graph;
    return (name) => nodes[name].data;
  }

  dispose() {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** A small image: a kernel that all projects share, and its own command line. */
const manifest = (index) => ({
  guest_arch: 'x64',
  guest_configs: [
    {
      guest_svn: 1,
      max_vtl: 0,
      isolation_type: 'none',
      image: {
        linux: {
          use_initrd: false,
          command_line: `console=ttyS0 image=${index}`,
          boot_data: 'embedded',
          memory_size: 268435456,
        },
      },
    },
  ],
  resources: { linux_kernel: '{workspaceRoot}/shared/vmlinux' },
});

const projectName = (index) => `image-${String(index).padStart(4, '0')}`;

/**
 * Makes a workspace of `count` image projects in a temporary folder.
 * @param kernel path of the kernel of all images
 * @param plugin the plugin in nx.json; with `pluginSource`, a file of the workspace with that text
 * @param projectJson returns the content of a project's project.json
 */
export function makeWorkspace({ count, kernel, plugin, pluginSource, projectJson }) {
  const home = mkdtempSync(join(tmpdir(), 'nx-igvm-scale-'));
  const root = join(home, 'workspace');
  install(root);
  writeJson(join(root, 'nx.json'), { neverConnectToCloud: true, plugins: [plugin] });
  writeFileSync(join(root, '.gitignore'), 'node_modules\n.nx\ndist\n');
  if (pluginSource !== undefined) writeFileSync(join(root, plugin), pluginSource);
  mkdirSync(join(root, 'shared'));
  cpSync(kernel, join(root, 'shared', 'vmlinux'));
  for (let index = 0; index < count; index++) {
    const name = projectName(index);
    const folder = join(root, 'images', name);
    mkdirSync(folder, { recursive: true });
    writeJson(join(folder, 'igvm.json'), manifest(index));
    writeJson(join(folder, 'project.json'), projectJson(name));
  }
  execFileSync('git', ['init', '-q'], { cwd: root });
  return new ScaleWorkspace(home, root);
}

/** Variables that keep Nx from prompting and from storing anything elsewhere. */
const environment = (home) => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NX_|npm_|NODE_OPTIONS$)/.test(name))),
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_NO_CLOUD: 'true',
  NX_CACHE_DIRECTORY: join(home, 'cache'),
  NX_WORKSPACE_DATA_DIRECTORY: join(home, 'data'),
  NO_COLOR: '1',
  CI: 'true',
});
