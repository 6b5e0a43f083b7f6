import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type FolderLock, LOCK_NAME, lockFolder } from './folder-lock';

describe('lockFolder', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-lock-'));
    file = join(folder, LOCK_NAME);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const lock = (): Promise<FolderLock> => lockFolder(join(folder, 'image.igvm'));

  async function secondsOf(work: () => Promise<unknown>): Promise<number> {
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
  }

  it('runs one holder at a time, each once, and leaves nothing behind', async () => {
    let inside = 0;
    const seen: number[] = [];
    const taker = async (index: number): Promise<void> => {
      const held = await lock();
      expect(++inside).toBe(1);
      await setTimeout(1);
      seen.push(index);
      inside--;
      held.release();
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => taker(index)));
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('waits longer for an active holder than for an inactive one', async () => {
    const held = await lock();
    let isLocked = true;
    const next = lock().then((other) => {
      expect(isLocked).toBe(false);
      other.release();
    });
    for (let times = 0; times < 15; times++) {
      await setTimeout(100);
      held.refresh();
    }
    isLocked = false;
    held.release();
    await next;
    expect(readdirSync(folder)).toEqual([]);
  });

  const HOUR = 3600;
  const abandoned: [what: string, make: () => void][] = [
    ['is empty', () => writeFileSync(file, '')],
    ['holds something', () => writeFileSync(file, 'pid 1')],
    ['is of an hour ago', () => makeAt(-HOUR)],
    ['is of tomorrow', () => makeAt(24 * HOUR)],
  ];
  function makeAt(seconds: number): void {
    writeFileSync(file, '');
    const time = Date.now() / 1000 + seconds;
    utimesSync(file, time, time);
  }
  it.each(abandoned)('waits a second for an abandoned lock and removes it: it %s', async (_, make) => {
    make();
    const seconds = await secondsOf(async () => (await lock()).release());
    expect(seconds).toBeGreaterThan(0.9);
    expect(seconds).toBeLessThan(1.9);
    expect(readdirSync(folder)).toEqual([]);
  });

  const others: [what: string, make: () => void][] = [
    ['a pipe', () => execFileSync('mkfifo', [file])],
    ['a link to a device', () => symlinkSync('/dev/zero', file)],
    ['a link to nothing', () => symlinkSync('nothing', file)],
    ['a folder', () => mkdirSync(join(file, 'inside'), { recursive: true })],
  ];
  it.each(others)('continues immediately, and keeps the file, if it is not a lock: %s', async (_, make) => {
    make();
    const seconds = await secondsOf(async () => (await lock()).release());
    expect(seconds).toBeLessThan(0.5);
    expect(lstatSync(file, { throwIfNoEntry: false })).toBeDefined();
  });

  it('continues after five seconds whatever happens to the lock', async () => {
    writeFileSync(file, '');
    let isDone = false;
    const toucher = (async () => {
      for (let time = 1; !isDone; time++) {
        utimesSync(file, time, time);
        await setTimeout(50);
      }
    })();
    const seconds = await secondsOf(async () => (await lock()).release());
    isDone = true;
    await toucher;
    expect(seconds).toBeGreaterThan(4.5);
    expect(seconds).toBeLessThan(7);
    expect(existsSync(file)).toBe(true);
  }, 15_000);

  it('does not remove the lock of another holder', async () => {
    const held = await lock();
    renameSync(file, join(folder, 'away'));
    writeFileSync(file, 'of another process');
    held.release();
    expect(existsSync(file)).toBe(true);
  });

  it('is refused where nothing can be written, and names the file to write', async () => {
    const path = join(folder, 'missing', 'image.igvm');
    await expect(lockFolder(path)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE', where: { file: path } });
  });
});
