import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { manifest, MIB } from './boot-guest';
import { debianKernelWithModules, needingModules } from './debian-kernel';
import { Workspace } from './harness/workspace';
import { extractVmlinux } from './vmlinux';

const { describe: booting } = needingModules('qemu-system-x86_64', 'umoci', 'skopeo', 'xz');

/** A web server that reports facts about its container. */
const server = (greeting: string): string => `
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
createServer(({ url }, response) => {
  const { argv, env, pid } = process;
  const [uid, gid, groups, cwd] = [process.getuid(), process.getgid(), process.getgroups(), process.cwd()];
  const hosts = readFileSync('/etc/hosts', 'utf8');
  response.end(JSON.stringify({ greeting: '${greeting}', url, argv, env, pid, uid, gid, groups, cwd, hosts }));
}).listen(8080, () => console.log('listening'));
`;

/** Makes an OCI layout with this machine's Node and the libraries that it loads. */
function makeNodeImage(folder: string): void {
  const umoci = (...args: string[]): unknown => execFileSync('umoci', args, { cwd: folder, stdio: 'pipe' });
  umoci('init', '--layout', 'oci');
  umoci('new', '--image', 'oci:app');
  umoci('unpack', '--image', 'oci:app', 'bundle');
  const root = join(folder, 'bundle', 'rootfs');
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(realpathSync(from), join(root, to));
  };
  copy(process.execPath, 'usr/local/bin/node');
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const library of libraries) copy(library, library);
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
  writeFileSync(join(root, 'etc', 'group'), 'node:x:1000:\nweb:x:50:node\n');
  umoci('repack', '--image', 'oci:app', 'bundle');
}

/** The script of the application's target: adds a layer, and writes an archive like docker's. */
const BUILD = `set -e
rm -rf dist/app && mkdir -p dist/app && cp -r "$BASE" dist/app/oci
umoci insert --image dist/app/oci:app app/server.js /app/server.js
umoci config --image dist/app/oci:app --config.entrypoint node --config.cmd server.js --config.workingdir /app --config.user node --config.env GREETED=world
skopeo copy -q oci:dist/app/oci:app docker-archive:dist/app/app.tar:app:latest
`;

async function freePort(): Promise<number> {
  const listening = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => listening.once('listening', done));
  const { port } = listening.address() as { port: number };
  await new Promise((done) => listening.close(done));
  return port;
}

booting('a Node web server in a container image', () => {
  let workspace: Workspace;
  let home: string;
  let vm: ChildProcess | undefined;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'nx-igvm-container-'));
    makeNodeImage(home);
    workspace = await Workspace.create();
    const kernel = debianKernelWithModules('network');
    workspace.write('boot/vmlinux', extractVmlinux(kernel.vmlinuz));
    for (const module of kernel.modules) workspace.copy(module, `boot/${basename(module)}`);
    workspace.write('app/server.js', server('hello'));
    workspace.write('app/build.sh', BUILD);
    workspace.writeJson('app/project.json', {
      name: 'app',
      targets: {
        'docker:build': {
          executor: 'nx:run-commands',
          cache: true,
          inputs: ['{projectRoot}/**/*'],
          outputs: ['{workspaceRoot}/dist/app'],
          options: { command: 'sh app/build.sh', env: { BASE: join(home, 'oci') } },
        },
      },
    });
    await workspace.commit('app');
    await workspace.nxOk(
      'g',
      'nx-igvm:initrd',
      'guest',
      '--directory=guest',
      '--image=app:docker:build:dist/app/app.tar',
    );
    workspace.updateJson<Record<string, unknown>>('guest/initrd.json', (json) => {
      json['modules'] = kernel.modules.map((module) => `../boot/${basename(module)}`);
      json['network'] = { address: '10.0.2.15/24', gateway: '10.0.2.2' };
      json['environment'] = { PORT: '8080' };
    });
    const image = manifest({ boot_data: 'embedded', memory_size: 1024 * MIB }, 'vmlinux');
    const initrd = { project: 'guest', target: 'build', path: 'dist/guest/initrd.cpio' };
    workspace.writeJson('vm/igvm.json', { ...image, resources: { ...image.resources, linux_initrd: initrd } });
    workspace.writeJson('vm/project.json', { name: 'vm' });
    await workspace.commit('guest');
  });
  afterAll(() => {
    workspace?.dispose();
    rmSync(home, { recursive: true, force: true });
  });
  afterEach(async () => {
    if (vm?.exitCode !== null) return;
    const ended = new Promise((done) => vm?.once('exit', done));
    vm.kill('SIGTERM');
    await ended;
  });

  /** Boots the image and sends requests to the server until it answers. */
  async function answerOf(path: string): Promise<{ answer: Record<string, unknown>; console: string }> {
    const port = await freePort();
    const network = ['-netdev', `user,id=n,hostfwd=tcp:127.0.0.1:${port}-:8080`, '-device', 'virtio-net-pci,netdev=n'];
    const program = workspace.path('node_modules/.bin/nx-igvm');
    vm = spawn(program, ['boot', 'dist/vm/vm.igvm', '--accel=tcg', '--timeout=240', '--', ...network], {
      cwd: workspace.root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [vm.stdout, vm.stderr]) stream?.on('data', (text) => (output += String(text)));
    for (const end = Date.now() + 200_000; Date.now() < end && vm.exitCode === null; await sleep(500)) {
      try {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
        return { answer: (await response.json()) as Record<string, unknown>, console: output };
      } catch {
        // It isn't ready yet.
      }
    }
    throw new Error(`no answer from the guest:\n${output}`);
  }

  it('boots as a guest with the image’s configuration, and answers over the network', async () => {
    await workspace.nxOk('build', 'vm');
    const { answer, console } = await answerOf('/some/path');
    expect(console).toContain('running /usr/local/bin/node');
    expect(answer).toEqual({
      greeting: 'hello',
      url: '/some/path',
      argv: ['/usr/local/bin/node', '/app/server.js'],
      env: expect.objectContaining({ GREETED: 'world', PORT: '8080', HOME: '/home/node', PATH: expect.any(String) }),
      pid: expect.any(Number),
      uid: 1000,
      gid: 1000,
      groups: expect.arrayContaining([50]),
      cwd: '/app',
      hosts: expect.stringContaining('127.0.0.1 localhost'),
    });
  });

  it('is rebuilt when the application has changed, and only then', async () => {
    expect(await workspace.state('vm')).toBe('hit');
    workspace.write('app/server.js', server('changed'));
    expect(await workspace.state('vm')).toBe('built');
    expect(workspace.read('dist/guest/initrd.cpio').includes("greeting: 'changed'")).toBe(true);
    workspace.write('app/server.js', server('hello'));
    expect(await workspace.state('vm')).toBe('hit');
  });
});
