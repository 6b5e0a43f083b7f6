import { NX_VERSION, NX_VERSIONS } from '../harness/template';
import { Workspace } from '../harness/workspace';
import { bytesOf } from './images';

/** Keys of a manifest that aren't part of the image: a change is measured and verified, but not built. */
describe.each([
  ['false', NX_VERSION],
  ['true', NX_VERSION],
  // Its daemon writes no graph after a file changes, unless it is told to (`haveGraphWritten`).
  ['true', NX_VERSIONS[22]],
])('the launches of a manifest, with the daemon: %s, on Nx %s', (daemon, nx) => {
  interface Manifest {
    launches?: unknown;
    guest_configs: { image: { snp_linux_direct: { linux: { command_line: string } } } }[];
  }
  let workspace: Workspace;
  const MANIFEST = 'enclave/igvm.json';
  const build = (): Promise<string> => workspace.state('enclave');
  const launch = (...vcpus: number[]): void =>
    workspace.updateJson<Manifest>(MANIFEST, (manifest) => {
      manifest.launches = [{ vmm: 'qemu-kvm', vcpus, cpu: ['EPYC-Milan'] }];
    });

  beforeAll(async () => {
    workspace = await Workspace.create({ nx, env: { NX_DAEMON: daemon } });
    await workspace.nxOk('g', 'nx-igvm:guest-image', 'enclave', '--type=snp-linux-direct');
    workspace.write('enclave/boot/vmlinuz', bytesOf('linux_kernel'));
    workspace.write('enclave/boot/initrd.cpio', bytesOf('linux_initrd'));
    workspace.updateJson<Manifest & { embed_corim?: boolean }>(MANIFEST, (manifest) => {
      manifest.embed_corim = false;
    });
    launch(1);
    await workspace.commit('enclave');
  });
  afterAll(async () => {
    if (daemon === 'true') await workspace.nx('daemon', '--stop');
    workspace.dispose();
  });

  it('change without a build, and are verified', async () => {
    expect([await build(), await build()]).toEqual(['built', 'hit']);
    await workspace.nxOk('run', 'enclave:measure', '--update-lock');
    expect(await workspace.state('enclave', 'verify')).toBe('built');
    launch(1, 4);
    expect(await build()).toBe('hit');
    expect(await workspace.state('enclave', 'verify')).toBe('failed');
    await workspace.nxOk('run', 'enclave:measure', '--update-lock');
    expect(await workspace.state('enclave', 'verify')).toBe('built');
    expect(await build()).toBe('hit');
  });

  it('leave any other change of the manifest to the build', async () => {
    const before = workspace.read(MANIFEST);
    workspace.updateJson<Manifest>(MANIFEST, (manifest) => {
      manifest.guest_configs[0]!.image.snp_linux_direct.linux.command_line += ' quiet';
    });
    expect([await build(), await build()]).toEqual(['built', 'hit']);
    expect(await workspace.state('enclave', 'verify')).toBe('failed');
    workspace.write(MANIFEST, before);
    expect(await build()).toBe('hit');
    expect(await workspace.state('enclave', 'verify')).toBe('built');
    launch(2);
    workspace.updateJson<Manifest>(MANIFEST, (manifest) => {
      manifest.guest_configs[0]!.image.snp_linux_direct.linux.command_line += ' debug';
    });
    expect(await build()).toBe('built');
  });
});
