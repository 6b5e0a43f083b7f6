import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { takeTurn } from './folder-turn';
import { claimTempPath, releaseTempPath } from './temp-name';

describe('takeTurn', () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-turn-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** The ticket of another process. */
  function ticketOf(pid: number, content: string): string {
    const own = claimTempPath(join(folder, 'nx-igvm-turn'));
    releaseTempPath(own);
    const path = join(folder, basename(own).replace(`-${process.pid}-`, `-${pid}-`));
    writeFileSync(path, content);
    return path;
  }

  const turn = (): Promise<() => void> => takeTurn(join(folder, 'image.igvm'));

  /** What comes first: a turn, or 100 ms. */
  async function isHeldUp(): Promise<{ held: boolean; end: Promise<() => void> }> {
    const end = turn();
    const first = await Promise.race([end, setTimeout(100, 'waiting')]);
    return { held: first === 'waiting', end };
  }

  it('lets one at a time, each once, and leaves nothing', async () => {
    let inside = 0;
    const seen: number[] = [];
    const taker = async (index: number): Promise<void> => {
      const end = await turn();
      expect(++inside).toBe(1);
      await setTimeout(1);
      seen.push(index);
      inside--;
      end();
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => taker(index)));
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(readdirSync(folder)).toEqual([]);
  });

  /** The module as another thread of this process has it. */
  function onThread(threadId: number): typeof import('./folder-turn') {
    let loaded: typeof import('./folder-turn') | undefined;
    jest.isolateModules(() => {
      jest.doMock('node:worker_threads', () => ({ threadId }));
      loaded = require('./folder-turn') as typeof import('./folder-turn');
    });
    jest.dontMock('node:worker_threads');
    if (loaded === undefined) throw new Error('the module was not loaded');
    return loaded;
  }

  it('lets one at a time of several threads of a process', async () => {
    let inside = 0;
    const threads = [1, 2, 3].map(onThread);
    const taker = async (thread: typeof import('./folder-turn')): Promise<void> => {
      for (let round = 0; round < 5; round++) {
        const end = await thread.takeTurn(join(folder, 'image.igvm'));
        expect(++inside).toBe(1);
        await setTimeout(1);
        inside--;
        end();
      }
    };
    await Promise.all(threads.map(taker));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves a ticket of the same name to whoever drew it', async () => {
    const next = basename(ticketOf(process.pid, '')).replace(/\d+(?=\.nx-igvm-tmp)/, (number) =>
      String(Number(number) + 1),
    );
    rmSync(join(folder, readdirSync(folder)[0] ?? ''));
    writeFileSync(join(folder, next), '0000000001');
    await expect(turn()).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(readdirSync(folder)).toEqual([next]);
  });

  it.each([
    ['has a lower number', '0000000001'],
    ['has not drawn its number yet', ''],
    ['is writing its number', '00000'],
  ])('waits for a process that %s', async (_, content) => {
    const other = ticketOf(process.ppid, content);
    const { held, end } = await isHeldUp();
    expect(held).toBe(true);
    rmSync(other);
    (await end)();
  });

  it('does not wait for one that came later', async () => {
    ticketOf(process.ppid, '0000000001');
    const { held, end } = await isHeldUp();
    const later = ticketOf(process.ppid, '0000000003');
    expect(held).toBe(true);
    for (const name of readdirSync(folder).filter((each) => each.includes(`-${process.ppid}-`))) {
      if (name !== basename(later)) rmSync(join(folder, name));
    }
    (await end)();
  });

  it('does not wait for a process that was killed', async () => {
    const pid = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }));
    ticketOf(pid, '0000000001');
    ticketOf(pid, '');
    (await turn())();
  });

  it('waits a minute for another machine', async () => {
    const foreign = join(folder, '.nx-igvm-turn.00000000-1-0.nx-igvm-tmp');
    writeFileSync(foreign, '0000000001');
    const { held, end } = await isHeldUp();
    expect(held).toBe(true);
    const aMinuteAgo = Date.now() / 1000 - 61;
    utimesSync(foreign, aMinuteAgo, aMinuteAgo);
    (await end)();
  });

  it('is refused where nothing can be written, by the name of what should be', async () => {
    const path = join(folder, 'missing', 'image.igvm');
    await expect(takeTurn(path)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE', where: { file: path } });
  });
});
