import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InstalledVmm } from './find-vmm';
import { askKvm, PROBE_MESSAGE } from './kvm-probe';
import { QEMU } from './vmm';

// Every run starts two processes, which is slow while other tests run.
jest.setTimeout(30_000);

const HANGS = 'setInterval(() => {}, 1000);';

describe('the probe of KVM', () => {
  let folder: string;
  let device: string;
  let probe: string | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-kvm-'));
    device = join(folder, 'kvm');
    writeFileSync(device, '');
    probe = undefined;
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A QEMU whose guest is a script. @param started called right after the start */
  const qemu = (script: string, started: () => void = () => undefined): InstalledVmm => ({
    path: process.execPath,
    capabilities: { ways: ['pvh'], accelerators: ['kvm', 'tcg'] },
    vmm: {
      ...QEMU,
      commandLine: ({ file }) => {
        probe = file;
        setImmediate(started);
        return ['-e', script];
      },
    },
  });

  afterEach(() => expect(probe !== undefined && existsSync(probe)).toBe(false));

  it('reports KVM as usable when the guest prints', async () => {
    const guest = `console.log(${JSON.stringify(PROBE_MESSAGE)}); ${HANGS}`;
    expect(await askKvm(qemu(guest), { device })).toEqual({ is: 'usable' });
  });

  it.each([
    ['hangs', HANGS],
    ['stops with an internal error, on which QEMU waits', `console.error('KVM internal error. Suberror: 1'); ${HANGS}`],
    ['ends without output', ''],
  ])('reports KVM as unusable when the guest %s', async (_, script) => {
    expect(await askKvm(qemu(script), { device })).toEqual({
      is: 'unusable',
      problem: `${device} exists, but does not run a small 64-bit guest`,
    });
  });

  it('reports what is missing without starting a guest', async () => {
    const { capabilities, ...rest } = qemu(HANGS);
    const without = { ...rest, capabilities: { ...capabilities, accelerators: ['tcg'] as const } };
    expect(await askKvm(without, { device })).toMatchObject({ problem: 'this QEMU was built without KVM' });
    expect(await askKvm(qemu(HANGS), { device: `${device}2` })).toMatchObject({ problem: `there is no ${device}2` });
    expect(probe).toBeUndefined();
  });

  it('can be stopped by its caller, with the caller’s reason', async () => {
    const caller = new AbortController();
    const stopped = qemu(HANGS, () => caller.abort(new Error('SIGTERM')));
    await expect(askKvm(stopped, { device, signal: caller.signal })).rejects.toThrow('SIGTERM');
  });
});
