import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProjectConfiguration, Tree } from '@nx/devkit';
import { buildManifest, updateLock } from '../../api';
import syncLockGenerator, { syncLocks } from './generator';
import { lockedImages } from './generator';
import type * as WorkspaceNx from '../../plugin/workspace-nx';
import { logger } from '../../plugin/workspace-nx';

const mockGraph = { nodes: {}, dependencies: {} };
jest.mock('../../plugin/workspace-nx', () => ({
  ...jest.requireActual<typeof WorkspaceNx>('../../plugin/workspace-nx'),
  workspaceNx: () => ({ createProjectGraphAsync: () => Promise.resolve(mockGraph) }),
}));

const IMAGE = 'dist/guest/guest.igvm';
const LOCK = 'guest/igvm.lock.json';

let root: string;
/** The lock in the tree, which the generator may have written. */
let changes: Record<string, string>;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nx-igvm-sync-spec-'));
  changes = {};
});
afterEach(() => rmSync(root, { recursive: true }));

const exists = (path: string): boolean => existsSync(join(root, path));
const tree = () =>
  ({ root, exists, write: (path: string, text: string) => void (changes[path] = text) }) as unknown as Tree;

const project = (more: object = {}): ProjectConfiguration => ({
  root: 'guest',
  targets: {
    build: {
      executor: 'nx-igvm:build',
      options: { manifest: '{projectRoot}/igvm.json', outputPath: 'dist/{projectRoot}', ...more },
    },
    test: { executor: 'nx:noop' },
  },
});
const sync = (more?: object) => syncLocks(tree(), { guest: project(more) });

function writeManifest(septVeDisable: boolean, debug = false): void {
  const tdx = { tdx: { enable_debug: debug, sept_ve_disable: septVeDisable } };
  const guest = { guest_svn: 1, max_vtl: 2, isolation_type: tdx, image: 'none' };
  writeFileSync(join(root, 'guest/igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: [guest] }));
}
const build = () =>
  buildManifest({ manifest: join(root, 'guest/igvm.json'), output: join(root, IMAGE), workspaceRoot: root });

beforeEach(async () => {
  mkdirSync(join(root, 'guest'));
  writeManifest(false);
  await build();
  await updateLock(join(root, IMAGE), join(root, LOCK), IMAGE);
});

describe('the sync generator for locks', () => {
  it('changes nothing when lock, image and manifest agree', async () => {
    expect(await sync()).toEqual({});
    expect(changes).toEqual({});
  });

  it('leaves an image without a lock alone, built or not', async () => {
    rmSync(join(root, LOCK));
    rmSync(join(root, 'dist'), { recursive: true });
    expect(await sync()).toEqual({});
  });

  it('updates a lock to match its image, and reports it', async () => {
    const wrong = readFileSync(join(root, LOCK), 'utf8').replace(/("digest": ")[0-9A-F]{4}/, '$10000');
    const right = readFileSync(join(root, LOCK), 'utf8');
    writeFileSync(join(root, LOCK), wrong);
    expect(await sync()).toEqual({ outOfSyncMessage: expect.stringContaining(LOCK) });
    expect(changes).toEqual({ [LOCK]: right });
    expect(readFileSync(join(root, LOCK), 'utf8')).toBe(wrong);
  });

  it('reports "build first" when the image is missing', async () => {
    rmSync(join(root, 'dist'), { recursive: true });
    await expect(sync()).rejects.toThrow(/build first: the image of guest:build is not current \[BUILD_FIRST\]/);
  });

  it('reports "build first" when the manifest has changed since, and changes nothing', async () => {
    writeManifest(true);
    await expect(sync()).rejects.toThrow(/build first/);
    expect(changes).toEqual({});
    await build();
    expect(await sync()).toEqual({ outOfSyncMessage: expect.stringContaining(LOCK) });
    expect(changes[LOCK]).toContain('"septVeDisable": true');
  });

  it('never adds a guest that the host may debug to a lock that does not allow it', async () => {
    writeManifest(false, true);
    await build();
    await expect(sync()).rejects.toThrow(/DEBUG_NOT_ALLOWED/);
    expect(changes).toEqual({});
    const text = readFileSync(join(root, LOCK), 'utf8');
    writeFileSync(join(root, LOCK), text.replace('"debug": false', '"debug": true'));
    expect(await sync()).toEqual({ outOfSyncMessage: expect.stringContaining(LOCK) });
    expect(changes[LOCK]).toContain('"debug": true');
  });

  it('reports "build first" when a file beside the image is from another build', async () => {
    writeFileSync(join(root, 'dist/guest/guest-tdx.json'), '{}');
    await expect(sync()).rejects.toThrow(/build first/);
  });

  it('reports a mistake in the manifest with its place', async () => {
    writeFileSync(join(root, 'guest/igvm.json'), '{');
    await expect(sync()).rejects.toThrow(/guest\/igvm\.json:1:/);
  });
});

describe('the generator as Nx calls it', () => {
  beforeEach(() => (mockGraph.nodes = { guest: { type: 'app', name: 'guest', data: project() } }));

  it('returns an object to `nx sync`, and a function to `nx g`', async () => {
    const logged = jest.spyOn(logger, 'info').mockImplementation();
    writeFileSync(
      join(root, LOCK),
      readFileSync(join(root, LOCK), 'utf8').replace(/("digest": ")[0-9A-F]{4}/, '$10000'),
    );
    expect(await syncLockGenerator(tree())).toEqual({ outOfSyncMessage: expect.stringContaining(LOCK) });
    const done = await syncLockGenerator(tree(), {});
    if (typeof done !== 'function') throw new Error('nx g calls what it gets');
    await done();
    expect(logged).toHaveBeenCalledWith(expect.stringContaining(LOCK));
  });
});

describe('the images of a workspace', () => {
  it('are those of its build targets, with the lock that verify checks', () => {
    expect(lockedImages({ guest: project() })).toMatchObject([{ task: 'guest:build', image: IMAGE, lock: LOCK }]);
    const own = project();
    own.targets!['verify'] = {
      executor: 'nx-igvm:verify',
      options: { image: IMAGE, lock: 'locks/{projectName}.json' },
    };
    expect(lockedImages({ guest: own })[0]!.lock).toBe('locks/guest.json');
  });

  it('are built as their default configuration says', () => {
    const own = project();
    Object.assign(own.targets!['build']!, {
      defaultConfiguration: 'release',
      configurations: { release: { outputPath: 'rel/{projectName}', strict: true }, debug: { outputPath: 'dbg' } },
    });
    expect(lockedImages({ guest: own })).toMatchObject([{ image: 'rel/guest/guest.igvm', build: { strict: true } }]);
  });
});
