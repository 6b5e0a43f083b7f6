import { dirname } from 'node:path';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { skippedFor } from '../src/boot/needing.fixture';
import { debianKernel, needingKernel } from './debian-kernel';
import { input } from './harness/inputs';
import { runOk } from './harness/run';
import { taskState, Workspace } from './harness/workspace';

const OTHER = process.env['NX_IGVM_OTHER_NODE'];

const snp = { shared_gpa_boundary_bits: 46, policy: 196608, enable_debug: true, injection_type: 'normal' };
const openhcl = {
  openhcl: { command_line: '', memory_page_count: 16384, uefi: false, memory_page_base: 32768 },
};

/** The parts that use most of Node: hashing threads, streams, compression, child processes. */
const CONFIDENTIAL = {
  guest_arch: 'x64',
  guest_configs: [
    { vbs: { enable_debug: true } },
    { snp: { ...snp, secure_avic: 'disabled' } },
    { tdx: { enable_debug: false, sept_ve_disable: true } },
  ].map((isolation) => ({ guest_svn: 1, max_vtl: 2, isolation_type: isolation, image: openhcl })),
  resources: {
    underhill_kernel: '{workspaceRoot}/boot/kernel.elf',
    openhcl_boot: '{workspaceRoot}/boot/shim.elf',
    underhill_initrd: '{workspaceRoot}/boot/large-initrd',
  },
};

const DIRECT = {
  guest_arch: 'x64',
  guest_configs: [
    {
      guest_svn: 1,
      max_vtl: 0,
      isolation_type: 'none',
      image: {
        linux: {
          use_initrd: true,
          command_line: 'console=ttyS0 panic=-1',
          boot_data: 'embedded',
          memory_size: 384 * 2 ** 20,
        },
      },
    },
  ],
  resources: { linux_kernel: '{workspaceRoot}/boot/vmlinuz', linux_initrd: '{workspaceRoot}/boot/initrd.cpio.gz' },
};

const { describe: withOther } =
  OTHER === undefined ? skippedFor('another Node in NX_IGVM_OTHER_NODE') : needingKernel('amd64', 'busybox');

withOther(`with ${OTHER ?? 'another Node'}`, () => {
  let workspace: Workspace;
  const other = (program: string, ...args: string[]): Promise<string> =>
    runOk(OTHER ?? '', [workspace.path(`node_modules/${program}`), ...args], { cwd: workspace.root });

  beforeAll(async () => {
    // Nx's child processes use it, too.
    workspace = await Workspace.create({ env: { PATH: `${dirname(OTHER ?? '')}:${process.env['PATH'] ?? ''}` } });
    workspace.copy(debianKernel().vmlinuz, 'boot/vmlinuz');
    await makeBootInitrd(workspace.path('boot/initrd.cpio.gz'));
    workspace.write('boot/kernel.elf', input('vmlinux-x64.elf'));
    workspace.write('boot/shim.elf', input('openhcl_boot-x64.elf'));
    workspace.write('boot/large-initrd', Buffer.alloc(40 * 2 ** 20, 'something that is not all zeros'));
    workspace.writeJson('confidential/igvm.json', CONFIDENTIAL);
    workspace.writeJson('direct/igvm.json', DIRECT);
  });
  afterAll(() => workspace.dispose());

  it('is the Node that runs', async () => {
    const version = await runOk(OTHER ?? '', ['--version'], { cwd: workspace.root });
    expect(version.trim()).not.toBe(process.version);
    expect(await workspace.nxOk('report')).toContain(`Node           : ${version.trim().slice(1)}`);
  });

  it('Nx builds images, and takes them from the cache', async () => {
    const build = ['run-many', '-t', 'build', '--outputStyle=static'];
    const first = await workspace.nxOk(...build);
    const second = await workspace.nxOk(...build);
    for (const task of ['confidential:build', 'direct:build']) {
      expect([taskState(first, task), taskState(second, task)]).toEqual(['built', 'hit']);
    }
  });

  it.each(['confidential', 'direct'])('the command writes the same files for %s as with this Node', async (name) => {
    const command = 'nx-igvm/dist/cli/nx-igvm.js';
    await other(command, 'build', `${name}/igvm.json`, '-o', `theirs/${name}.igvm`);
    const args = [workspace.path(`node_modules/${command}`), 'build', `${name}/igvm.json`, '-o', `ours/${name}.igvm`];
    await runOk(process.execPath, args, { cwd: workspace.root });
    const siblings =
      name === 'confidential' ? ['-snp.json', '-tdx.json', '-vbs.json', '-snp.cbor', '-snp.idblock'] : [];
    for (const suffix of ['.igvm', '.igvm.map', ...siblings]) {
      const theirs = workspace.read(`theirs/${name}${suffix}`);
      expect(theirs.equals(workspace.read(`ours/${name}${suffix}`))).toBe(true);
      expect(theirs.equals(workspace.read(`dist/${name}/${name}${suffix}`))).toBe(true);
    }
  });

  it('Nx locks the measurements of an image, and verifies them', async () => {
    await workspace.nxOk('run', 'confidential:measure', '--update-lock', '--allow-debug');
    expect(await workspace.nxOk('verify', 'confidential')).toContain('matches its lock: VBS, SEV-SNP, TDX');
  });

  it('Nx writes the page of an image', async () => {
    await workspace.nxOk('inspect', 'confidential');
    expect(workspace.read('dist/confidential/confidential.html').toString('utf8')).toContain('</html>');
  });

  it('Nx boots an image until the guest is up', async () => {
    const output = await workspace.nxOk('boot', 'direct', '--accel=tcg', `--until=${GUEST_READY}`, '--timeout=180');
    expect(output).toContain(GUEST_READY);
  });
});
