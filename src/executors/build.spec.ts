import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProjectGraph, TargetConfiguration } from '@nx/devkit';
import type { IgvmError } from '../errors/igvm-error';
import { logger } from '../plugin/workspace-nx';
import { imageFileNames } from '../manifest/image-files';
import type * as LoadManifest from '../manifest/load-manifest';
import { loadManifest } from '../manifest/load-manifest';
import { combined } from '../manifest/validate';
import buildExecutor, { unusableOutputs } from './build';
import { contextIn, ISOLATIONS } from './executor-context.fixture';

jest.mock('../manifest/load-manifest', () => {
  const actual = jest.requireActual<typeof LoadManifest>('../manifest/load-manifest');
  return { ...actual, loadManifest: jest.fn(actual.loadManifest) };
});

let root: string;
let logged: { info: string; warn: string; error: string };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nx-igvm-executor-'));
  logged = { info: '', warn: '', error: '' };
  for (const level of ['info', 'warn', 'error'] as const) {
    jest
      .spyOn(logger, level)
      .mockImplementation((...texts: unknown[]) => void (logged[level] += `${texts.join(' ')}\n`));
  }
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

const context = () => contextIn(root, 'image');

function writeManifest(extra: object = {}, types: (keyof typeof ISOLATIONS)[] = ['vbs', 'snp', 'tdx']): object {
  const manifest = {
    guest_arch: 'x64',
    guest_configs: types.map((type) => ({
      guest_svn: 1,
      max_vtl: 2,
      isolation_type: ISOLATIONS[type],
      image: 'none',
    })),
    ...extra,
  };
  mkdirSync(join(root, 'apps/guest'), { recursive: true });
  writeFileSync(join(root, 'apps/guest/igvm.json'), JSON.stringify(manifest));
  return manifest;
}

describe('nx-igvm:build', () => {
  it("writes exactly the files that inference declares, into the manifest's folder below dist", async () => {
    const manifest = writeManifest();
    expect(await buildExecutor({ manifest: 'apps/guest/igvm.json' }, context())).toEqual({ success: true });
    expect(readdirSync(join(root, 'dist/apps/guest')).sort()).toEqual(imageFileNames('guest', manifest).sort());
  });

  it('loads the manifest once, so that the checked manifest is the one that is built', async () => {
    writeManifest();
    jest.mocked(loadManifest).mockClear();
    expect(await buildExecutor({ manifest: 'apps/guest/igvm.json' }, context())).toEqual({ success: true });
    expect(loadManifest).toHaveBeenCalledTimes(1);
  });

  it('reports without absolute paths', async () => {
    writeManifest();
    await buildExecutor({ manifest: 'apps/guest/igvm.json', outputPath: 'out' }, context());
    expect(logged.info).toMatch(/^out\/guest\.igvm: [\d,]+ bytes\n/);
    expect(logged.info).toContain('out/guest-snp.idblock (96 bytes)');
    expect(logged.info).not.toContain(root);
  });

  it('names unknown keys in a warning, and refuses them when strict', async () => {
    writeManifest({ guest_archs: 1 });
    const options = { manifest: 'apps/guest/igvm.json', outputPath: 'out' };
    expect(await buildExecutor(options, context())).toEqual({ success: true });
    expect(logged.warn).toMatch(/^apps\/guest\/igvm\.json:1:\d+: .*guest_archs/);
    expect(await buildExecutor({ ...options, strict: true }, context())).toEqual({ success: false });
  });

  it("logs a user's mistake, fails, and writes nothing", async () => {
    writeManifest({}, ['vbs', 'vbs']);
    expect(await buildExecutor({ manifest: 'apps/guest/igvm.json' }, context())).toEqual({ success: false });
    expect(logged.error).toMatch(/^apps\/guest\/igvm\.json:1:\d+: .*\[MANIFEST_CONFLICT\]/);
    expect(readdirSync(root)).toEqual(['apps']);
  });

  it('refuses an output of a project that does not exist', async () => {
    const guest = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { uefi: { config_type: 'none' } } };
    const resources = { uefi: { project: 'firmware', target: 'build', path: 'dist/firmware.fd' } };
    writeManifest({ guest_configs: [guest], resources });
    expect(await buildExecutor({ manifest: 'apps/guest/igvm.json' }, context())).toEqual({ success: false });
    expect(logged.error).toContain('[NX_TARGET_UNKNOWN]');
  });
});

describe('the output of another target', () => {
  const graph = (projects: Record<string, Record<string, TargetConfiguration>>): ProjectGraph => ({
    nodes: Object.fromEntries(
      Object.entries(projects).map(([name, targets]) => [
        name,
        { type: 'lib', name, data: { root: `libs/${name}`, targets } },
      ]),
    ),
    dependencies: {},
  });

  function check(resource: object, projects: Parameters<typeof graph>[0]): IgvmError | undefined {
    const image = { linux: { use_initrd: false, command_line: '' } };
    const guests = [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image }];
    const manifest = {
      guest_arch: 'x64',
      guest_configs: guests,
      resources: { linux_kernel: resource, uefi: { project: 'unused', target: 'x', path: 'y' } },
    };
    writeFileSync(join(root, 'igvm.json'), JSON.stringify(manifest, undefined, 2));
    const conflicts: IgvmError[] = [];
    const loaded = loadManifest(join(root, 'igvm.json'), { display: 'igvm.json', conflicts });
    const errors = unusableOutputs({ root, projectGraph: graph(projects) }, loaded);
    return errors.length === 0 ? undefined : combined([...conflicts, ...errors]);
  }

  const kernel = (path: string, target = 'build') => ({ project: 'kernel', target, path });
  const build = (...outputs: string[]): TargetConfiguration => ({ executor: 'nx:run-commands', outputs });

  it.each<[string, TargetConfiguration, string?]>([
    ['is the file', build('{workspaceRoot}/dist/k')],
    ['is a folder around it', build('{workspaceRoot}/dist')],
    ['has special characters', build('{workspaceRoot}/dist/\\(a\\)'), 'dist/(a)/k'],
    ['comes from an option', { ...build('{options.out}/k'), options: { out: 'dist' } }],
    ['is one of several', build('{projectRoot}/a', '{workspaceRoot}/dist/k')],
  ])('is accepted if it %s', (_, target, path = 'dist/k') => {
    expect(check(kernel(path), { kernel: { build: target } })).toBeUndefined();
  });

  it('is accepted if a pattern matches it', () => {
    expect(check(kernel('dist/k-6.1'), { kernel: { build: build('{workspaceRoot}/dist/k-*') } })).toBeUndefined();
    expect(check(kernel('dist/x-6.1'), { kernel: { build: build('{workspaceRoot}/dist/k-*') } })?.code).toBe(
      'NX_OUTPUT_UNDECLARED',
    );
  });

  it('is accepted if its target only runs others, one of which writes it', () => {
    const targets = {
      'build-a': build('{workspaceRoot}/dist/a'),
      build: { executor: 'nx-igvm:group', dependsOn: ['build-a', 'build'] },
    };
    expect(check(kernel('dist/a'), { kernel: targets })).toBeUndefined();
  });

  it.each(['constructor', '__proto__', 'toString'])('is refused for a project or target called %s', (name) => {
    expect(check({ project: name, target: 'build', path: 'k' }, { kernel: { build: build() } })?.code).toBe(
      'NX_TARGET_UNKNOWN',
    );
    expect(check(kernel('k', name), { kernel: { build: build() } })?.code).toBe('NX_TARGET_UNKNOWN');
    const runs = { executor: 'nx:noop', dependsOn: [{ projects: [name], target: 'build' }, name] };
    expect(check(kernel('k'), { kernel: { build: runs } })?.code).toBe('NX_OUTPUT_UNDECLARED');
  });

  it.each([
    ['the project does not exist', kernel('k'), { kernels: {} }, 'NX_TARGET_UNKNOWN', 'did you mean "kernels"?'],
    [
      'the target does not exist',
      kernel('k', 'buld'),
      { kernel: { build: build() } },
      'NX_TARGET_UNKNOWN',
      'did you mean "build"?',
    ],
    [
      'no declared output covers it',
      kernel('dist/k'),
      { kernel: { build: build('{workspaceRoot}/dist/kk', '{projectRoot}/dist') } },
      'NX_OUTPUT_UNDECLARED',
      'it declares dist/kk, libs/kernel/dist',
    ],
    [
      'the target declares no outputs',
      kernel('dist/k'),
      { kernel: { build: build() } },
      'NX_OUTPUT_UNDECLARED',
      'it declares none',
    ],
  ])('is refused, with its place in the manifest, if %s', (_, resource, projects, code, message) => {
    const error = check(resource, projects);
    expect(error?.code).toBe(code);
    expect(error?.message).toContain(message);
    expect(error?.where).toMatchObject({ file: 'igvm.json', line: 17, jsonPath: ['resources', 'linux_kernel'] });
  });
});
