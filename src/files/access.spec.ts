import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skippedFor } from '../boot/needing.fixture';
import { accessOf, EVERYONE, modeOfOutput, OWNER_ONLY } from './access';
import { createOutputSet } from './atomic-output';

const isPosix = process.platform !== 'win32';
const isRoot = process.getuid?.() === 0;

skippedFor(isPosix ? undefined : 'permission bits').describe('permission bits of outputs', () => {
  let folder: string;
  let before: number;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-access-'));
    before = process.umask(0o022);
  });
  afterEach(() => {
    process.umask(before);
    rmSync(folder, { recursive: true });
  });
  const path = (name: string): string => join(folder, name);
  const modeOf = (name: string): string => (statSync(path(name)).mode & 0o7777).toString(8);

  async function write(name: string, access?: number): Promise<string> {
    const outputs = createOutputSet();
    await outputs.add(path(name), access).writeAll(new Uint8Array(3));
    await outputs.commit({ last: path(name) });
    return modeOf(name);
  }

  it.each(['600', '640', '644', '664', '666', '444', '755', '700'])(
    'are kept when a file is replaced: %s',
    async (mode) => {
      writeFileSync(path('image'), '');
      chmodSync(path('image'), mode);
      expect(await write('image')).toBe(mode);
      expect(statSync(path('image')).size).toBe(3);
    },
  );

  it('are limited by the umask for a new file', async () => {
    expect(await write('image')).toBe('644');
    process.umask(0o077);
    expect(await write('other')).toBe('600');
  });

  it('never allow more readers than the inputs of a file have', async () => {
    expect(await write('new', OWNER_ONLY)).toBe('600');
    writeFileSync(path('old'), '');
    expect(await write('old', OWNER_ONLY)).toBe('600');
    process.umask(0o077);
    expect(await write('private', EVERYONE)).toBe('600');
  });

  it.each([
    ['644', '777'],
    ['600', '700'],
    ['640', '770'],
    ['604', '707'],
    ['444', '777'],
    ['000', '700'],
  ])('give access to everyone who may read a file of mode %s', (mode, access) => {
    writeFileSync(path('input'), '');
    chmodSync(path('input'), mode);
    expect(accessOf(lstatSync(path('input'))).toString(8)).toBe(access);
    expect(accessOf(lstatSync(path('input'), { bigint: true })).toString(8)).toBe(access);
  });

  it('give access to everyone who may read the folder', () => {
    mkdirSync(path('inside'));
    for (const [mode, access] of [
      ['755', '777'],
      ['744', '700'],
      ['711', '700'],
      ['750', '770'],
    ] as const) {
      chmodSync(path('inside'), mode);
      expect(accessOf(lstatSync(path('inside'))).toString(8)).toBe(access);
    }
  });

  skippedFor(isRoot ? undefined : 'root').it('exclude a group other than that of this process', async () => {
    writeFileSync(path('input'), '');
    chmodSync(path('input'), 0o640);
    chownSync(path('input'), 0, 4242);
    expect(accessOf(lstatSync(path('input')))).toBe(OWNER_ONLY);
    // A folder that passes its group to new files.
    mkdirSync(path('shared'));
    chownSync(path('shared'), 0, 4242);
    chmodSync(path('shared'), 0o2775);
    expect(await write('shared/image', 0o770)).toBe('600');
    expect(statSync(path('shared/image')).gid).toBe(4242);
    expect(await write('image', 0o770)).toBe('640');
  });

  it('of a file of another user are not copied, only reduced', () => {
    const replaced = (mode: number) => ({ mode, uid: (process.getuid?.() ?? 0) + 1 });
    expect(modeOfOutput(EVERYONE, replaced(0o100666))).toEqual({ make: 0o666 });
    expect(modeOfOutput(EVERYONE, replaced(0o100600))).toEqual({ make: 0o600 });
    expect(modeOfOutput(OWNER_ONLY, replaced(0o100777))).toEqual({ make: 0o600 });
  });
});
