import type { TargetConfiguration } from '@nx/devkit';
import type { PluginOptions } from './inferred-image';
import { linuxManifest, Workspace } from './workspace.fixture';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

const TEST = { until: '^ready$', timeout: 60 };

async function targets(more: object = {}, options?: PluginOptions): Promise<Record<string, TargetConfiguration>> {
  workspace.write('one/igvm.json', linuxManifest('k', more));
  return (await workspace.infer(['one/igvm.json'], options))['one']!.targets!;
}

describe('the target fetch', () => {
  const url = { url: 'https://host/vmlinuz', sha256: '0'.repeat(64) };

  it('is there for an image that uses a URL, and is not cached', async () => {
    const { fetch, build } = await targets({ resources: { linux_kernel: url } });
    expect(fetch).toMatchObject({ executor: 'nx-igvm:fetch', cache: false, options: { manifest: 'one/igvm.json' } });
    expect(build!.inputs).toContainEqual(expect.objectContaining({ fileset: '{workspaceRoot}/one/igvm.json' }));
    expect(build!.dependsOn ?? []).toEqual([]);
  });

  it('is not there for one that uses none, or where the options say so', async () => {
    expect(await targets()).not.toHaveProperty('fetch');
    expect(await targets({ resources: { linux_kernel: 'k', uefi: url } })).not.toHaveProperty('fetch');
    expect(await targets({ resources: { linux_kernel: url } }, { fetch: false })).not.toHaveProperty('fetch');
  });

  it('fetches for those images of a project that have URLs', async () => {
    workspace.write('one/a.igvm.json', linuxManifest('k', { resources: { linux_kernel: url } }));
    workspace.write('one/b.igvm.json', linuxManifest('k'));
    const inferred = (await workspace.infer(['one/a.igvm.json', 'one/b.igvm.json']))['one']!.targets!;
    expect(inferred['fetch']).toMatchObject({ executor: 'nx-igvm:group', dependsOn: ['fetch-a'] });
    expect(inferred).not.toHaveProperty('fetch-b');
  });
});

describe('the target boot', () => {
  const ovmf = (...isolations: unknown[]): object => ({
    guest_configs: isolations.map((isolation_type) => ({
      guest_svn: 1,
      max_vtl: 0,
      isolation_type,
      image: { ovmf: {} },
    })),
    resources: { ovmf_code: 'OVMF.fd' },
  });
  const SNP = { snp: { policy: 0x30000, enable_debug: false, injection_type: 'normal' } };

  it('is there for OVMF with a guest without isolation, and not for one under SEV-SNP alone', async () => {
    const boot = { executor: 'nx-igvm:boot', dependsOn: ['build'], options: { image: 'dist/one/one.igvm' } };
    expect(await targets(ovmf('none'))).toMatchObject({ boot });
    expect(await targets({ ...ovmf('none', SNP), boot_test: TEST })).toMatchObject({ boot, 'boot-test': {} });
    expect(await targets(ovmf(SNP))).not.toHaveProperty('boot');
    expect(await targets({ ...ovmf('none'), guest_arch: 'aarch64' })).not.toHaveProperty('boot');
    expect(await targets({ guest_configs: [] })).not.toHaveProperty('boot');
  });
});

describe('the target boot-test', () => {
  it('is there when the manifest asks for it, for a run of its own each time', async () => {
    const { 'boot-test': test } = await targets({ boot_test: TEST });
    expect(test).toMatchObject({
      executor: 'nx-igvm:boot',
      continuous: false,
      cache: false,
      dependsOn: ['build'],
      options: { image: 'dist/one/one.igvm', ...TEST },
    });
  });

  it('is there when the options of the plugin ask for it', async () => {
    expect((await targets({}, { 'boot-test': 'smoke' }))['smoke']).toMatchObject({ continuous: false });
    const options = { 'boot-test': { options: { until: 'login:', cpus: 2 } } };
    expect((await targets({}, options))['boot-test']!.options).toEqual({
      image: 'dist/one/one.igvm',
      until: 'login:',
      cpus: 2,
      timeout: 120,
    });
  });

  it('always ends: a guest that must end by itself has a time, too', async () => {
    expect((await targets({ boot_test: {} }))['boot-test']!.options).toEqual({
      image: 'dist/one/one.igvm',
      timeout: 120,
    });
  });

  it('is not there where nobody asks for it, where it is switched off, and for an image that does not boot here', async () => {
    expect(await targets()).not.toHaveProperty('boot-test');
    expect(await targets({ boot_test: TEST }, { 'boot-test': false })).not.toHaveProperty('boot-test');
    const arm = await targets({ boot_test: TEST, guest_arch: 'aarch64' }, { 'boot-test': 'smoke' });
    expect(Object.keys(arm).filter((name) => /smoke|boot/.test(name))).toEqual([]);
  });

  it('of a project with several images runs the tests that there are', async () => {
    const files = ['a', 'b', 'c'].map((name) => `all/${name}.igvm.json`);
    const infer = async () => (await workspace.infer(files))['all']!.targets!;
    for (const file of files) workspace.write(file, linuxManifest('k'));
    expect(await infer()).not.toHaveProperty('boot-test');
    workspace.write(files[1]!, linuxManifest('k', { boot_test: TEST }));
    workspace.write(files[2]!, linuxManifest('k', { boot_test: {} }));
    expect((await infer())['boot-test']).toMatchObject({
      executor: 'nx-igvm:group',
      dependsOn: ['boot-test-b', 'boot-test-c'],
    });
  });
});
