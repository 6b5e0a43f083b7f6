import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeProcessFolder } from './process-folder';

jest.mock('node:fs', () => ({ ...jest.requireActual<typeof fs>('node:fs') }));

describe('a folder of this process', () => {
  let parent: string;
  beforeEach(() => (parent = fs.mkdtempSync(join(tmpdir(), 'nx-igvm-folders-'))));
  afterEach(() => {
    jest.restoreAllMocks();
    fs.rmSync(parent, { recursive: true });
  });

  it('is made beside those of others, and clears those of processes that are gone', () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    for (const name of [
      `boot-${pid}-a`,
      `boot-${pid}-b`,
      `loader-${pid}-c`,
      `other-${pid}-d`,
      `boot-${process.ppid}-e`,
    ]) {
      fs.mkdirSync(join(parent, `nx-igvm-${name}`));
    }
    // One is of another user.
    const { rmSync } = jest.requireActual<typeof fs>('node:fs');
    jest.spyOn(fs, 'rmSync').mockImplementation((path, options) => {
      if (String(path).endsWith('-a')) throw Object.assign(new Error('not yours'), { code: 'EACCES' });
      rmSync(path, options);
    });
    const made = makeProcessFolder('loader', parent);
    expect(made.startsWith(join(parent, `nx-igvm-loader-${process.pid}-`))).toBe(true);
    const others = fs.readdirSync(parent).filter((name) => join(parent, name) !== made);
    expect(others.sort()).toEqual(
      [`nx-igvm-boot-${pid}-a`, `nx-igvm-boot-${process.ppid}-e`, `nx-igvm-other-${pid}-d`].sort(),
    );
  });

  it('says where it can not be made', () => {
    const missing = join(parent, 'missing');
    expect(() => makeProcessFolder('boot', missing)).toThrow(
      expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: missing } }),
    );
  });
});
