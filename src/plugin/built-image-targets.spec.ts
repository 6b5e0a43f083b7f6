import type { TargetConfiguration } from '@nx/devkit';
import type { PluginOptions } from './inferred-image';
import { linuxManifest, Workspace } from './workspace.fixture';

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
  it('writes a page from the image and what lies beside it, and is cached', async () => {
    const { inspect } = await infer();
    expect(inspect).toMatchObject({
      executor: 'nx-igvm:inspect',
      cache: true,
      dependsOn: ['build'],
      options: { image: 'dist/images/one/one.igvm', format: 'html', lock: 'images/one/igvm.lock.json' },
      outputs: ['{options.outputPath}', '{workspaceRoot}/dist/images/one/one.html'],
    });
    expect(inspect!.inputs!.slice(0, 2)).toEqual([built('one.igvm'), built('one.igvm.map')]);
    // The page says whether the documents beside the image are its own.
    for (const name of ['one-snp.json', 'one-snp.cbor', 'one-snp.idblock'])
      expect(inspect!.inputs).toContainEqual(built(name));
  });

  it('runs again when the lock changes, which the page compares with, and names none where no guest is isolated', async () => {
    const lock = { fileset: '{workspaceRoot}/images/one/igvm.lock.json', includeIgnored: true };
    expect((await infer()).inspect!.inputs).toContainEqual(lock);
    const other = await infer(isolated, { inspect: { options: { lock: 'release.json' } } });
    expect(other.inspect!.inputs).toContainEqual({ ...lock, fileset: '{workspaceRoot}/release.json' });
    const { inspect } = await infer({ guest_configs: [guest('none')] });
    expect(inspect!.options).not.toHaveProperty('lock');
    expect(inspect!.inputs).not.toContainEqual(lock);
  });

  it('follows a build target that has another name and folder', async () => {
    const { inspect } = await infer(isolated, { build: { name: 'image', options: { outputPath: 'out (1)' } } });
    expect(inspect).toMatchObject({ dependsOn: ['image'], options: { image: 'out (1)/one.igvm' } });
    expect(inspect!.inputs).toContainEqual({ dependentTasksOutputFiles: 'out \\(1\\)/one.igvm' });
    expect(inspect!.outputs).toContain('{workspaceRoot}/out \\(1\\)/one.html');
  });

  it('takes the image as it is where there is no build target', async () => {
    const { inspect } = await infer(isolated, { build: false });
    expect(inspect!.dependsOn).toBeUndefined();
    expect(inspect!.inputs).toContainEqual({
      fileset: '{workspaceRoot}/dist/images/one/one.igvm',
      includeIgnored: true,
    });
  });
});

describe('the target measure', () => {
  it('is never cached: a hit would not write the lock', async () => {
    const { measure } = await infer();
    expect(measure).toMatchObject({
      executor: 'nx-igvm:measure',
      cache: false,
      options: { image: 'dist/images/one/one.igvm', lock: 'images/one/igvm.lock.json' },
    });
  });
});

describe('the target verify', () => {
  it('is never cached, and runs behind the build', async () => {
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

  it('has no such configuration without an SNP guest, and is absent without isolation', async () => {
    expect((await infer({ guest_configs: [guest({ tdx: {} })] })).sign).not.toHaveProperty('configurations');
    expect((await infer({ guest_configs: [guest('none')] })).sign).toBeUndefined();
  });
});

describe('each of them', () => {
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
