import { EarlySync, syncsEarly } from './early-sync';

const MIB = 1024 * 1024;
const FD = 7;

interface Asked {
  fd: number;
  end(error?: Error): void;
}

/** A disk that is done when the test says so. */
function slowDisk(): { asked: Asked[]; sync: (fd: number) => Promise<void> } {
  const asked: Asked[] = [];
  const sync = (fd: number): Promise<void> =>
    new Promise((resolve, reject) => {
      asked.push({ fd, end: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  return { asked, sync };
}

const failure = (code: string): Error => Object.assign(new Error(code), { code });

const aMoment = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('EarlySync', () => {
  it('asks the disk when there is enough for it, and again only when it is done', async () => {
    const disk = slowDisk();
    const early = new EarlySync(disk.sync);
    for (let mib = 0; mib < 15; mib++) early.wrote(FD, MIB);
    expect(disk.asked).toHaveLength(0);
    early.wrote(FD, MIB);
    expect(disk.asked.map(({ fd }) => fd)).toEqual([FD]);
    early.wrote(FD, 20 * MIB);
    early.wrote(FD, 2 * MIB);
    expect(disk.asked).toHaveLength(1);
    disk.asked[0]?.end();
    await aMoment();
    early.wrote(FD, 1);
    expect(disk.asked).toHaveLength(2);
    early.wrote(FD, 15 * MIB);
    disk.asked[1]?.end();
    await aMoment();
    early.wrote(FD, MIB - 1);
    expect(disk.asked).toHaveLength(2);
    early.wrote(FD, 1);
    expect(disk.asked).toHaveLength(3);
    disk.asked[2]?.end();
    await expect(early.settled()).resolves.toBeUndefined();
  });

  it('leaves a disk alone that falls behind', async () => {
    const disk = slowDisk();
    const early = new EarlySync(disk.sync);
    early.wrote(FD, 16 * MIB);
    early.wrote(FD, 60 * MIB);
    disk.asked[0]?.end();
    await aMoment();
    early.wrote(FD, 4 * MIB);
    expect(disk.asked).toHaveLength(2);
    early.wrote(FD, 64 * MIB);
    disk.asked[1]?.end();
    await aMoment();
    early.wrote(FD, 1);
    expect(disk.asked).toHaveLength(2);
    early.wrote(FD, 20 * MIB);
    expect(disk.asked).toHaveLength(2);
    await early.settled();
  });

  it('is settled when the disk is done', async () => {
    const disk = slowDisk();
    const early = new EarlySync(disk.sync);
    await early.settled();
    early.wrote(FD, 16 * MIB);
    let isSettled = false;
    const settled = early.settled().then(() => void (isSettled = true));
    await aMoment();
    expect(isSettled).toBe(false);
    disk.asked[0]?.end();
    await settled;
    expect(isSettled).toBe(true);
  });

  it('reports what the disk says, every time, and does not ask it again', async () => {
    const disk = slowDisk();
    const early = new EarlySync(disk.sync);
    early.wrote(FD, 16 * MIB);
    disk.asked[0]?.end(failure('EIO'));
    await expect(early.settled()).rejects.toThrow('EIO');
    early.wrote(FD, 16 * MIB);
    expect(disk.asked).toHaveLength(1);
    await expect(early.settled()).rejects.toThrow('EIO');
  });

  it.each(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])('does without where a file system says %s', async (code) => {
    const disk = slowDisk();
    const early = new EarlySync(disk.sync);
    early.wrote(FD, 16 * MIB);
    disk.asked[0]?.end(failure(code));
    await early.settled();
    early.wrote(FD, 16 * MIB);
    expect(disk.asked).toHaveLength(1);
  });
});

it('is for files that replace others, where the system then waits for the disk', () => {
  expect(syncsEarly(false)).toBe(false);
  expect(syncsEarly(true)).toBe(process.platform === 'linux');
});
