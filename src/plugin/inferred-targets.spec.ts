import type { TargetConfiguration } from '@nx/devkit';
import type { PluginOptions } from './configuration';
import { linuxManifest, requests, Workspace } from './workspace.fixture';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

const guest = (isolation: unknown) => ({ guest_svn: 1, max_vtl: 2, isolation_type: isolation, image: 'none' });
const isolated = { guest_configs: [guest({ snp: {} }), guest({ tdx: {} })] };

async function infer(more: object = isolated, options: PluginOptions = {}) {
  workspace.write('images/one/igvm.json', linuxManifest('k', more));
  const { targets } = (await workspace.infer(['images/one/igvm.json'], options))['images/one']!;
  return targets as Record<'build' | 'inspect' | 'measure' | 'verify' | 'sign', TargetConfiguration | undefined>;
}

const built = (name: string) => ({ dependentTasksOutputFiles: `dist/images/one/${name}` });
const SIBLINGS = ['one-snp.json', 'one-snp.cbor', 'one-snp.idblock', 'one-tdx.json', 'one-tdx.cbor'];

describe('the target inspect', () => {
  it('writes a page from the image and the files beside it, and is cached', async () => {
    const { inspect } = await infer();
    expect(inspect).toMatchObject({
      executor: 'nx-igvm:inspect',
      cache: true,
      dependsOn: ['build'],
      options: { image: 'dist/images/one/one.igvm', format: 'html', lock: 'images/one/igvm.lock.json' },
      outputs: ['{options.outputPath}', '{workspaceRoot}/dist/images/one/one.html'],
    });
    expect(inspect!.inputs!.slice(0, 2)).toEqual([built('one.igvm'), built('one.igvm.map')]);
    // The page shows whether the documents beside the image belong to it.
    for (const name of ['one-snp.json', 'one-snp.cbor', 'one-snp.idblock'])
      expect(inspect!.inputs).toContainEqual(built(name));
  });

  it('runs again when the lock changes, and has no lock if no guest is isolated', async () => {
    const lock = { fileset: '{workspaceRoot}/images/one/igvm.lock.json', includeIgnored: true };
    expect((await infer()).inspect!.inputs).toContainEqual(lock);
    const other = await infer(isolated, { inspect: { options: { lock: 'release.json' } } });
    expect(other.inspect!.inputs).toContainEqual({ ...lock, fileset: '{workspaceRoot}/release.json' });
    const { inspect } = await infer({ guest_configs: [guest('none')] });
    expect(inspect!.options).not.toHaveProperty('lock');
    expect(inspect!.inputs).not.toContainEqual(lock);
  });

  it('follows a build target with another name and folder', async () => {
    const { inspect } = await infer(isolated, { build: { name: 'image', options: { outputPath: 'out (1)' } } });
    expect(inspect).toMatchObject({ dependsOn: ['image'], options: { image: 'out (1)/one.igvm' } });
    expect(inspect!.inputs).toContainEqual({ dependentTasksOutputFiles: 'out \\(1\\)/one.igvm' });
    expect(inspect!.outputs).toContain('{workspaceRoot}/out \\(1\\)/one.html');
  });

  it('uses the image as it is if there is no build target', async () => {
    const { inspect } = await infer(isolated, { build: false });
    expect(inspect!.dependsOn).toBeUndefined();
    expect(inspect!.inputs).toContainEqual({
      fileset: '{workspaceRoot}/dist/images/one/one.igvm',
      includeIgnored: true,
    });
  });
});

describe('the target measure', () => {
  it('is never cached, because a hit would not write the lock', async () => {
    const { measure } = await infer();
    expect(measure).toMatchObject({
      executor: 'nx-igvm:measure',
      cache: false,
      options: { image: 'dist/images/one/one.igvm', lock: 'images/one/igvm.lock.json' },
    });
  });
});

describe('the target verify', () => {
  it('is never cached, and runs after the build', async () => {
    const { verify } = await infer();
    expect(verify).toMatchObject({
      executor: 'nx-igvm:verify',
      cache: false,
      dependsOn: ['build'],
      options: { image: 'dist/images/one/one.igvm', lock: 'images/one/igvm.lock.json' },
    });
    for (const name of ['one.igvm', 'one.igvm.map', ...SIBLINGS]) expect(verify!.inputs).toContainEqual(built(name));
    expect(verify!.inputs).toContainEqual({
      fileset: '{workspaceRoot}/images/one/igvm.lock.json',
      includeIgnored: true,
    });
  });
});

describe('the target sign', () => {
  it('is not cached, and has a configuration for a temporary key', async () => {
    const { sign } = await infer();
    expect(sign).toMatchObject({
      executor: 'nx-igvm:sign',
      cache: false,
      options: { image: 'dist/images/one/one.igvm', manifest: 'images/one/igvm.json' },
      configurations: { development: { temporaryKey: true } },
    });
    expect(sign!.options).not.toHaveProperty('temporaryKey');
  });

  it('has no such configuration without an SNP guest, and does not exist without isolation', async () => {
    expect((await infer({ guest_configs: [guest({ tdx: {} })] })).sign).not.toHaveProperty('configurations');
    expect((await infer({ guest_configs: [guest('none')] })).sign).toBeUndefined();
  });
});

const TEST = { until: '^ready$', timeout: 60 };

async function targets(more: object = {}, options?: PluginOptions): Promise<Record<string, TargetConfiguration>> {
  workspace.write('one/igvm.json', linuxManifest('k', more));
  return (await workspace.infer(['one/igvm.json'], options))['one']!.targets!;
}

describe('the target fetch', () => {
  const url = { url: 'https://host/vmlinuz', sha256: '0'.repeat(64) };

  it('exists for an image that uses a URL, and is not cached', async () => {
    const { fetch, build } = await targets({ resources: { linux_kernel: url } });
    expect(fetch).toMatchObject({ executor: 'nx-igvm:fetch', cache: false, options: { manifest: 'one/igvm.json' } });
    expect(build!.inputs).toContainEqual(expect.objectContaining({ fileset: '{workspaceRoot}/one/igvm.json' }));
    expect(build!.dependsOn ?? []).toEqual([]);
  });

  it('does not exist for an image without URLs, or if the options disable it', async () => {
    expect(await targets()).not.toHaveProperty('fetch');
    expect(await targets({ resources: { linux_kernel: 'k', uefi: url } })).not.toHaveProperty('fetch');
    expect(await targets({ resources: { linux_kernel: url } }, { fetch: false })).not.toHaveProperty('fetch');
  });

  it('runs for the images of a project that use URLs', async () => {
    workspace.write('one/a.igvm.json', linuxManifest('k', { resources: { linux_kernel: url } }));
    workspace.write('one/b.igvm.json', linuxManifest('k'));
    const inferred = (await workspace.infer(['one/a.igvm.json', 'one/b.igvm.json']))['one']!.targets!;
    expect(inferred['fetch']).toMatchObject({ executor: 'nx-igvm:group', dependsOn: ['fetch-a'] });
    expect(inferred).not.toHaveProperty('fetch-b');
  });
});

describe('the target boot', () => {
  it('is continuous, and runs after the build', async () => {
    const { boot } = await targets({}, { build: { name: 'image', options: { outputPath: 'out' } } });
    expect(boot).toMatchObject({ executor: 'nx-igvm:boot', continuous: true, options: { image: 'out/one.igvm' } });
    expect(boot!.dependsOn).toEqual(['image']);
    expect(boot!.cache).toBeUndefined();
  });

  it.each([
    ['isolation', { isolation_type: { vbs: { enable_debug: false } } }, 'x64'],
    ['another image', { image: 'none' }, 'x64'],
    ['another architecture', {}, 'aarch64'],
  ])('does not exist for an image with %s', async (_, guest, guest_arch) => {
    const linux = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux: {} } };
    const inferred = await targets({ guest_arch, guest_configs: [{ ...linux, ...guest }] });
    expect(Object.keys(inferred)).not.toContain('boot');
  });

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

  it('exists for OVMF with a guest without isolation, and not for SEV-SNP alone', async () => {
    const boot = { executor: 'nx-igvm:boot', dependsOn: ['build'], options: { image: 'dist/one/one.igvm' } };
    expect(await targets(ovmf('none'))).toMatchObject({ boot });
    expect(await targets({ ...ovmf('none', SNP), boot_test: TEST })).toMatchObject({ boot, 'boot-test': {} });
    expect(await targets(ovmf(SNP))).not.toHaveProperty('boot');
    expect(await targets({ ...ovmf('none'), guest_arch: 'aarch64' })).not.toHaveProperty('boot');
    expect(await targets({ guest_configs: [] })).not.toHaveProperty('boot');
  });
});

describe('the target boot-test', () => {
  it('exists if the manifest requests it, and is a run of its own each time', async () => {
    const { 'boot-test': test } = await targets({ boot_test: TEST });
    expect(test).toMatchObject({
      executor: 'nx-igvm:boot',
      continuous: false,
      cache: false,
      dependsOn: ['build'],
      options: { image: 'dist/one/one.igvm', ...TEST },
    });
  });

  it('exists if the options of the plugin request it', async () => {
    expect((await targets({}, { 'boot-test': 'smoke' }))['smoke']).toMatchObject({ continuous: false });
    const options = { 'boot-test': { options: { until: 'login:', cpus: 2 } } };
    expect((await targets({}, options))['boot-test']!.options).toEqual({
      image: 'dist/one/one.igvm',
      until: 'login:',
      cpus: 2,
      timeout: 120,
    });
  });

  it('has a time limit, even if the guest must end by itself', async () => {
    expect((await targets({ boot_test: {} }))['boot-test']!.options).toEqual({
      image: 'dist/one/one.igvm',
      timeout: 120,
    });
  });

  it('does not exist unless it is requested, enabled, and the image is bootable', async () => {
    expect(await targets()).not.toHaveProperty('boot-test');
    expect(await targets({ boot_test: TEST }, { 'boot-test': false })).not.toHaveProperty('boot-test');
    const arm = await targets({ boot_test: TEST, guest_arch: 'aarch64' }, { 'boot-test': 'smoke' });
    expect(Object.keys(arm).filter((name) => /smoke|boot/.test(name))).toEqual([]);
  });

  it('runs the existing boot tests in a project with several images', async () => {
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

describe('each of these targets', () => {
  it.each(['inspect', 'measure', 'verify', 'sign'] as const)(
    '%s can be renamed, left out and extended',
    async (kind) => {
      expect(await infer(isolated, { [kind]: 'other' })).toHaveProperty('other');
      expect(await infer(isolated, { [kind]: false })).not.toHaveProperty(kind);
      const { [kind]: extended } = await infer(isolated, { [kind]: { inputs: ['...', 'more'] } });
      expect(extended!.inputs).toEqual(expect.arrayContaining([built('one.igvm'), 'more']));
      expect(extended!.metadata).toMatchObject({
        description: expect.any(String),
        help: { command: expect.any(String) },
      });
    },
  );
});

describe('an initrd.json', () => {
  it.each([{ toString: 1 }, 'constructor', ['zstd'], null])(
    'has a target even if its compression is %j',
    async (compression) => {
      workspace.write('initrd/initrd.json', { folder: 'rootfs', compression });
      const { initrd } = await workspace.infer(['initrd/initrd.json']);
      expect(initrd?.targets?.['build']?.outputs).toEqual(['{options.outputPath}/initrd.cpio']);
    },
  );

  it('becomes a cacheable build target', async () => {
    workspace.write('initrd/initrd.json', { folder: 'rootfs', compression: 'zstd' });
    const { initrd } = await workspace.infer(['initrd/initrd.json']);
    expect(initrd).toMatchObject({
      name: 'initrd',
      targets: {
        build: {
          executor: 'nx-igvm:initrd',
          cache: true,
          options: { config: 'initrd/initrd.json', outputPath: 'dist/initrd' },
          outputs: ['{options.outputPath}/initrd.cpio.zst'],
        },
      },
    });
    expect(requests(initrd!.targets!['build'])).toEqual([{ tree: 'initrd/rootfs' }]);
  });

  it('has its folder as an input, for nx affected and for targets that write to it', async () => {
    workspace.write('initrd/initrd.json', { folder: '../files/root' });
    const { initrd } = await workspace.infer(['initrd/initrd.json']);
    expect(initrd!.targets!['build']!.inputs).toEqual(
      expect.arrayContaining([
        { fileset: '{workspaceRoot}/files/root/**/*' },
        { dependentTasksOutputFiles: 'files/root/**/*', transitive: true },
      ]),
    );
  });

  it('leaves the name `build` to an image in the same folder', async () => {
    workspace.write('a/initrd.json', {});
    workspace.write('a/igvm.json', linuxManifest('k'));
    const { a } = await workspace.infer(['a/igvm.json', 'a/initrd.json']);
    expect(a!.targets!['build']!.executor).toBe('nx-igvm:build');
    expect(a!.targets!['initrd']!.executor).toBe('nx-igvm:initrd');
  });
});
