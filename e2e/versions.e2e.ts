import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { debianKernel } from './debian-kernel';
import { changed, input } from './harness/inputs';
import { cleanEnvironment, run, runOk } from './harness/run';
import { NX_ENVIRONMENT, NX_VERSIONS, prepareTemplate, template } from './harness/template';
import { Workspace } from './harness/workspace';
import { extractVmlinux } from './vmlinux';

/** Folders of packages called nx or @nx/devkit, however deep. */
function copiesOfNx(modules: string): string[] {
  return readdirSync(modules, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /(?:^|[\\/])node_modules(?:[\\/]@nx)?$/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name).slice(modules.length + 1))
    .filter((path) => /(?:^|[\\/])(?:nx|@nx[\\/]devkit)$/.test(path));
}

/** A guest that is measured, signed and locked. */
const CONFIDENTIAL = {
  guest_arch: 'x64',
  guest_configs: [
    {
      guest_svn: 1,
      max_vtl: 2,
      isolation_type: {
        snp: {
          shared_gpa_boundary_bits: 46,
          policy: 196608,
          enable_debug: true,
          injection_type: 'normal',
          secure_avic: 'disabled',
        },
      },
      image: { openhcl: { command_line: '', memory_page_count: 16384, uefi: false, memory_page_base: 32768 } },
    },
  ],
  resources: { underhill_kernel: 'vmlinux', openhcl_boot: 'shim', underhill_initrd: 'initrd' },
};

/** Every executor and generator, and Nx's own features, must work with each Nx. */
describe.each(Object.entries(NX_VERSIONS))('Nx %s', (major, nx) => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    await workspace.commit('empty');
  });
  afterAll(() => workspace?.dispose());

  it('is the only Nx in the workspace, without packages of another version', async () => {
    expect(await workspace.nxOk('--version')).toContain(nx);
    expect(copiesOfNx((await prepareTemplate(nx)).workspace)).toEqual(['node_modules/nx']);
    expect(template(nx).log).toContain('Package nx-igvm added successfully');
  });

  it('generates an initramfs and an image with it, builds both, and rebuilds only changed ones', async () => {
    await workspace.nxOk('g', 'nx-igvm:preset', 'my-images');
    workspace.write('guest-image/boot/vmlinuz', input('vmlinux-x64.elf'));
    expect(await workspace.state('guest-image')).toBe('built');
    expect(await workspace.state('guest-image')).toBe('hit');
    workspace.write('initrd/rootfs/etc/motd', 'changed\n');
    expect(await workspace.state('guest-image')).toBe('built');
    workspace.write('guest-image/boot/vmlinuz', changed(input('vmlinux-x64.elf')));
    expect(await workspace.state('guest-image')).toBe('built');
    expect(await workspace.nxOk('graph', '--file=graph.json', '--print')).toBeDefined();
  });

  it('measures, locks, verifies, signs and shows an image', async () => {
    workspace.write('snp/vmlinux', input('vmlinux-x64.elf'));
    workspace.write('snp/shim', input('openhcl_boot-x64.elf'));
    workspace.write('snp/initrd', input('initrd-small.bin'));
    workspace.writeJson('snp/igvm.json', CONFIDENTIAL);
    workspace.writeJson('snp/project.json', { name: 'snp', targets: { sign: { options: { temporaryKey: true } } } });
    const measured = await workspace.nxOk('run', 'snp:measure', '--update-lock', '--allow-debug');
    expect(measured).toContain('snp/igvm.lock.json: written');
    expect(measured).toMatch(/\b[0-9a-f]{96}\b/i);
    for (const target of ['verify', 'sign', 'inspect'])
      expect([target, await workspace.state('snp', target)]).toEqual([target, 'built']);
    expect(existsSync(workspace.path('dist/snp/snp-signed.igvm'))).toBe(true);
    expect(workspace.read('dist/snp/snp.html').toString()).toContain('underhill-command-line');
    workspace.updateJson<typeof CONFIDENTIAL>('snp/igvm.json', ({ guest_configs: [guest] }) => {
      guest!.image.openhcl.command_line = 'other';
    });
    const { status, output } = await workspace.nx('verify', 'snp');
    expect(status).not.toBe(0);
    expect(output).toContain('[LOCK_MISMATCH]');
  });

  it('updates locks with the sync generator', async () => {
    workspace.updateJson<{ sync?: object }>('nx.json', (json) => {
      json.sync = { globalGenerators: ['nx-igvm:sync-lock'] };
    });
    await workspace.nxOk('build', 'snp');
    expect((await workspace.nx('sync:check')).status).not.toBe(0);
    await workspace.nxOk('sync');
    expect(await workspace.state('snp', 'verify')).toBe('built');
  });

  it('writes a workflow, and converts explicit targets to inferred ones', async () => {
    await workspace.nxOk('g', 'nx-igvm:ci-workflow');
    expect(workspace.read('.github/workflows/images.yml').toString()).toContain('npx nx affected -t build verify');
    workspace.updateJson<{ targets: object }>('snp/project.json', (json) => {
      json.targets = {
        build: {
          executor: 'nx-igvm:build',
          cache: true,
          inputs: ['{projectRoot}/**/*'],
          outputs: ['{options.outputPath}'],
          options: { manifest: '{projectRoot}/igvm.json', outputPath: 'dist/{projectRoot}' },
        },
      };
    });
    await workspace.nxOk('g', 'nx-igvm:convert-to-inferred');
    expect(workspace.readJson<{ targets: object }>('snp/project.json').targets).toEqual({});
    expect(await workspace.state('snp')).not.toBe('failed');
  });

  it('boots an image, and passes on the result', async () => {
    workspace.write('boot/vmlinux', extractVmlinux(debianKernel().vmlinuz));
    await makeBootInitrd(workspace.path('boot/initrd.cpio.gz'));
    workspace.writeJson('boot/igvm.json', {
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
      resources: { linux_kernel: 'vmlinux', linux_initrd: 'initrd.cpio.gz' },
    });
    workspace.writeJson('boot/project.json', { name: 'boot', targets: {} });
    const until = ['--accel=tcg', '--timeout=120', `--until=${GUEST_READY}`];
    expect(await workspace.nxOk('run', 'boot:boot', ...until)).toContain(GUEST_READY);
    const { status, output } = await workspace.nx('run', 'boot:boot', '--vmmPath=/no/such/vmm');
    expect([status === 0, output]).toEqual([false, expect.stringContaining('[VMM_')]);
  });

  it(`reports a mistake in one sentence, without a stack trace (${major})`, async () => {
    workspace.write('broken/igvm.json', '{ "guest_arch": ');
    // The other projects exist; only the build of this one fails.
    const shown = await workspace.nx('show', 'projects');
    expect(shown).toMatchObject({ status: 0, output: expect.stringMatching(/broken\/igvm\.json:1:\d+: /) as string });
    const { status, output } = await workspace.nx('build', 'broken');
    expect({ status, output }).toEqual({ status: 1, output: expect.stringContaining('[MANIFEST_SYNTAX]') as string });
    expect(shown.output + output).not.toMatch(/^\s+at .*\.js:\d+/m);
  });
});

describe('Nx 20', () => {
  it('is refused in one sentence, when the plugin is added and when it is loaded', async () => {
    const workspace = await Workspace.create({ empty: true, run: ['npx', 'nx'] });
    try {
      workspace.writeJson('package.json', {
        name: 'e2e',
        version: '0.0.0',
        private: true,
        devDependencies: { nx: '20.8.4', 'nx-igvm': `file:${template().tarball}` },
      });
      workspace.writeJson('nx.json', { neverConnectToCloud: true });
      const env = { ...cleanEnvironment(), ...NX_ENVIRONMENT };
      await runOk('npm', ['install', '--prefer-offline', '--no-audit'], { cwd: workspace.root, env });
      const sentence = 'nx-igvm needs Nx 21 or newer, this workspace has 20.8.4';
      const init = await run('npx', ['nx', 'g', 'nx-igvm:init'], { cwd: workspace.root, env });
      expect(init.output).toContain(sentence);
      expect(init.status).not.toBe(0);
      expect(workspace.readJson('nx.json')).toEqual({ neverConnectToCloud: true });
      workspace.writeJson('nx.json', { neverConnectToCloud: true, plugins: ['nx-igvm'] });
      workspace.writeJson('image/igvm.json', {});
      const shown = await workspace.nx('show', 'projects');
      expect(shown.output).toContain(sentence);
      expect(shown.status).not.toBe(0);
      for (const { output } of [init, shown]) expect(output).not.toMatch(/^\s+at .*\.js:\d+/m);
    } finally {
      workspace.dispose();
    }
  });
});
