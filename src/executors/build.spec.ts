import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logger } from '../plugin/workspace-nx';
import { imageFileNames } from '../manifest/image-files';
import type * as LoadManifest from '../manifest/load-manifest';
import { loadManifest } from '../manifest/load-manifest';
import buildExecutor from './build';
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
