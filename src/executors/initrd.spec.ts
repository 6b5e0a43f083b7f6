import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExecutorContext } from '@nx/devkit';
import { logger } from '../plugin/workspace-nx';
import { contextIn } from './executor-context.fixture';
import { initrd as initrdExecutor } from './tasks';

let home: string;
let root: string;
let logged: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'nx-igvm-initrd-'));
  root = join(home, 'workspace');
  logged = '';
  jest.spyOn(logger, 'info').mockImplementation(() => {});
  jest.spyOn(logger, 'error').mockImplementation((text: unknown) => void (logged += String(text)));
  mkdirSync(join(root, 'boot', 'rootfs'), { recursive: true });
  for (const name of ['initrd.json', 'other.json'])
    writeFileSync(join(root, 'boot', name), '{ "folder": "rootfs", "init": "x64" }');
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(home, { recursive: true });
});

/** The task of an inferred target. */
function context(): ExecutorContext {
  const build = { cache: true, options: { config: 'boot/initrd.json' } };
  const boot = { type: 'app' as const, name: 'boot', data: { root: 'boot', targets: { build } } };
  return {
    ...contextIn(root, 'boot'),
    targetName: 'build',
    projectGraph: { nodes: { boot }, dependencies: {} },
  };
}

describe('nx-igvm:initrd', () => {
  it('packs the folder that its target names', async () => {
    expect(await initrdExecutor({ config: 'boot/initrd.json', outputPath: 'out' }, context())).toEqual({
      success: true,
    });
    expect(existsSync(join(root, 'out', 'initrd.cpio'))).toBe(true);
  });

  it.each([
    [
      'outside the workspace',
      '{ "folder": "../../outside", "init": "x64" }',
      /^the packed folder is outside the workspace: /,
    ],
    [
      'behind a link',
      '{ "folder": "linked", "init": "x64" }',
      /^the packed folder leads out of the workspace through a link: .*boot\/linked$/,
    ],
  ])('reports that the folder is %s', async (_, config, note) => {
    const outside = join(root, '..', 'outside');
    mkdirSync(outside, { recursive: true });
    symlinkSync(outside, join(root, 'boot', 'linked'));
    writeFileSync(join(root, 'boot', 'initrd.json'), config);
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    const { success } = await initrdExecutor({ config: 'boot/initrd.json', outputPath: 'out' }, context());
    expect({ success, logged }).toEqual({ success: true, logged: '' });
    expect(warn.mock.calls).toEqual([[expect.stringMatching(note)]]);
  });

  it('refuses a file that only the command line names, because Nx would not notice changes', async () => {
    expect(await initrdExecutor({ config: 'boot/other.json', outputPath: 'out' }, context())).toEqual({
      success: false,
    });
    expect(logged).toContain('[NX_OPTION_UNTRACKED]');
    expect(existsSync(join(root, 'out'))).toBe(false);
  });
});
