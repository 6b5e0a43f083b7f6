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
import { type FolderLock, LOCK_NAME, lockFile, lockFolder } from './folder-lock';

describe('lockFolder', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-lock-'));
    file = join(folder, LOCK_NAME);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const lock = (): Promise<FolderLock> => lockFolder(join(folder, 'image.igvm'));

  /** Waits for the lock of the folder for other times, in milliseconds. */
  const lockFor = (abandonedAfter: number, patience: number): Promise<FolderLock> =>
    lockFile(file, join(folder, 'image.igvm'), { abandonedAfter, patience });

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
    // The clock of the waiting process, in seconds. It is read at each attempt.
    let now = 0;
    const clock = jest.spyOn(process, 'uptime').mockImplementation(() => now);
    let isTaken = false;
    const twoAttempts = async (): Promise<void> => {
      const end = clock.mock.calls.length + 2;
      while (!isTaken && clock.mock.calls.length < end) await setTimeout(5);
    };
    try {
      const held = await lock();
      const next = lock().then((other) => {
        isTaken = true;
        return other;
      });
      for (; now < 3; now += 0.9) {
        held.refresh();
        await twoAttempts();
      }
      expect(isTaken).toBe(false);
      held.release();
      (await next).release();
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      clock.mockRestore();
    }
  });

  const HOUR = 3600;
  const abandoned: [what: string, make: () => void][] = [
    ['is empty', () => writeFileSync(file, '')],
    ['has content', () => writeFileSync(file, 'pid 1')],
    ['is an hour old', () => makeAt(-HOUR)],
    ['is from tomorrow', () => makeAt(24 * HOUR)],
  ];
  function makeAt(seconds: number): void {
    writeFileSync(file, '');
    const time = Date.now() / 1000 + seconds;
    utimesSync(file, time, time);
  }
  it.each(abandoned)('waits a second for an abandoned lock and removes it: it %s', async (_, make) => {
    make();
    const start = performance.now();
    const held = await lock();
    expect(performance.now() - start).toBeGreaterThan(900);
    held.release();
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
    const held = await lockFor(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    held.release();
    expect(lstatSync(file, { throwIfNoEntry: false })).toBeDefined();
  });

  it('continues without the lock when its patience ends', async () => {
    writeFileSync(file, '');
    const start = performance.now();
    const held = await lockFor(Number.POSITIVE_INFINITY, 100);
    expect(performance.now() - start).toBeGreaterThan(90);
    held.release();
    expect(existsSync(file)).toBe(true);
  });

  it('does not remove the lock of another holder', async () => {
    const held = await lock();
    renameSync(file, join(folder, 'away'));
    writeFileSync(file, 'of another process');
    held.release();
    expect(existsSync(file)).toBe(true);
  });

  it('fails where nothing can be written, and names the file to write', async () => {
    const path = join(folder, 'missing', 'image.igvm');
    await expect(lockFolder(path)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE', where: { file: path } });
  });
});
