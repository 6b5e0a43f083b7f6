import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fakeQemu } from './fake-vmm.fixture';
import { skippedFor } from './needing.fixture';
import { findVmm } from './find-vmm';

// Every query starts a process and its supervisor.
jest.setTimeout(30_000);

describe('finding a VMM', () => {
  let folder: string;
  let empty: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-find-'));
    empty = join(folder, 'empty');
    mkdirSync(empty);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const code = (expected: string) => expect.objectContaining({ code: expected }) as Error;
  const find = (asked: Parameters<typeof findVmm>[0], ...folders: string[]) =>
    findVmm(asked, { search: folders.join(delimiter) });

  it('looks through PATH, for QEMU first', async () => {
    const path = fakeQemu(folder);
    fakeQemu(folder, { name: 'cloud-hypervisor' });
    const found = await find({}, empty, folder);
    expect([found.vmm.name, found.path]).toEqual(['qemu', path]);
    expect(found.capabilities).toEqual({ ways: ['pvh', 'bios'], accelerators: ['tcg'], version: '7.2.22' });
  });

  it('takes the one that is installed, or requested', async () => {
    fakeQemu(folder, { name: 'cloud-hypervisor' });
    expect((await find({}, folder)).vmm.name).toBe('cloud-hypervisor');
    fakeQemu(folder);
    expect((await find({ vmm: 'cloud-hypervisor' }, folder)).vmm.name).toBe('cloud-hypervisor');
  });

  it('accepts a path to a program, and recognises the VMM by its name', async () => {
    const path = fakeQemu(folder, { name: 'cloud-hypervisor-static' });
    expect((await find({ vmmPath: path })).vmm.name).toBe('cloud-hypervisor');
    const built = fakeQemu(folder, { name: 'my-own-build', igvm: true });
    expect(await find({ vmmPath: built })).toMatchObject({
      vmm: { name: 'qemu' },
      capabilities: { ways: ['pvh', 'bios', 'igvm'] },
    });
    expect((await find({ vmmPath: built, vmm: 'cloud-hypervisor' })).vmm.name).toBe('cloud-hypervisor');
    expect((await find({ vmmPath: 'my-own-build' }, folder)).path).toBe(built);
  });

  it('reports what is missing', async () => {
    await expect(find({}, empty)).rejects.toThrow('QEMU or Cloud Hypervisor is not installed');
    await expect(find({ vmm: 'cloud-hypervisor' }, empty)).rejects.toThrow(code('VMM_MISSING'));
    await expect(find({ vmmPath: join(empty, 'qemu') }, folder)).rejects.toThrow(code('VMM_MISSING'));
    await expect(find({ vmm: 'bhyve' as 'qemu' }, folder)).rejects.toThrow('qemu or cloud-hypervisor');
  });

  const onLinux = skippedFor(process.platform === 'linux' ? undefined : 'Linux').it;
  onLinux('says how to install one on this system', async () => {
    await expect(find({}, empty)).rejects.toThrow(
      '; QEMU is at https://www.qemu.org/download/, Cloud Hypervisor is at',
    );
    writeFileSync(join(empty, 'dnf'), '', { mode: 0o755 });
    await expect(find({}, empty)).rejects.toThrow(
      /dnf install --assumeyes qemu-system-x86.* installs QEMU on this system$/,
    );
    await expect(find({ vmm: 'cloud-hypervisor' }, empty)).rejects.toThrow(/; Cloud Hypervisor is at https:\S+$/);
  });

  it('does not accept a folder or a non-executable file as a program', async () => {
    mkdirSync(join(folder, 'qemu-system-x86_64'));
    writeFileSync(join(empty, 'qemu-system-x86_64'), '');
    await expect(find({ vmm: 'qemu' }, folder, empty)).rejects.toThrow(code('VMM_MISSING'));
  });

  it('fails for a program that is not QEMU', async () => {
    const path = join(folder, 'qemu-system-x86_64');
    fakeQemu(folder);
    writeFileSync(path, `#!${process.execPath}\nprocess.exit(1)`);
    await expect(find({}, folder)).rejects.toThrow(code('VMM_FAILED'));
    await expect(find({}, folder)).rejects.toThrow('QEMU failed when asked for "-accel help": exit code 1');
  });

  it('passes on the message of a program that cannot answer', async () => {
    const path = join(folder, 'qemu-system-x86_64');
    fakeQemu(folder);
    const script = "console.error('loading\\nlibpixman-1.so.0: cannot open shared object file'); process.exit(127);";
    writeFileSync(path, `#!${process.execPath}\n${script}`);
    await expect(find({}, folder)).rejects.toThrow(
      /"-accel help": libpixman-1\.so\.0: cannot open shared object file$/,
    );
  });

  describe('that does not answer', () => {
    /** A program that ignores requests to end, and records its process ID. */
    function hanging(): () => number[] {
      const path = join(folder, 'qemu-system-x86_64');
      fakeQemu(folder);
      const script = `require('node:fs').appendFileSync(${JSON.stringify(join(folder, 'pids'))}, process.pid + '\\n');
        process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`;
      writeFileSync(path, `#!${process.execPath}\n${script}`);
      const read = () => (existsSync(join(folder, 'pids')) ? readFileSync(join(folder, 'pids'), 'utf8') : '');
      return () => read().split('\n').filter(Boolean).map(Number);
    }
    const isAlive = (pid: number): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };

    async function allEnded(pids: number[]): Promise<void> {
      expect(pids.length).toBeGreaterThan(0);
      for (let tries = 0; tries < 100 && pids.some(isAlive); tries++) await sleep(50);
      expect(pids.filter(isAlive)).toEqual([]);
    }

    it('ends it after ten seconds, whatever it does, without blocking other work', async () => {
      const pids = hanging();
      let ticks = 0;
      const timer = setInterval(() => ticks++, 100);
      await expect(find({}, folder)).rejects.toThrow('it did not answer within 10 s');
      clearInterval(timer);
      expect(ticks).toBeGreaterThan(50);
      await allEnded(pids());
    });

    it('ends it immediately when the search is stopped', async () => {
      const pids = hanging();
      const [stop, stopOther] = [new AbortController(), new AbortController()];
      // This search waits for the rest of the time, which started earlier.
      const other = findVmm({}, { search: folder, signal: stopOther.signal });
      while (pids().length < 1) await sleep(20);
      const found = findVmm({}, { search: folder, signal: stop.signal });
      while (pids().length < 2) await sleep(20);
      stop.abort(new Error('enough'));
      await expect(Promise.race([found, other])).rejects.toThrow('enough');
      stopOther.abort(new Error('enough, too'));
      await expect(other).rejects.toThrow('enough, too');
      await allEnded(pids());
    });
  });
});
