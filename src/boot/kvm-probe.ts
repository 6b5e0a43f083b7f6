import { accessSync, constants, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { createOutputSet } from '../files/atomic-output';
import { makeProcessFolder } from '../files/process-folder';
import type { InstalledVmm } from './find-vmm';
import { PROBE_MESSAGE, writeProbeGuest } from './kvm-probe-guest';
import { runVm } from './run-vm';

const DEVICE = '/dev/kvm';

/** Bytes: more than any firmware wants. */
const PROBE_MEMORY = 2 ** 26;

/** Milliseconds. With KVM the guest answers within half a second, firmware included. */
const PROBE_TIME = 3000;

/** Whether KVM runs guests here. */
export type KvmAnswer = { is: 'usable' } | { is: 'unusable'; problem: string };

const unusable = (problem: string): KvmAnswer => ({ is: 'unusable', problem });

/**
 * Runs a tiny 64-bit guest under KVM. There are hosts whose /dev/kvm opens but doesn't run such guests: nested ones, and
 * some that only know guests made for them. A kernel that starts there hangs without a word.
 * @param options.signal ends the run: this rejects with its reason
 * @param options.device path of the device
 * @throws IgvmError FILE_UNWRITABLE
 */
export async function askKvm(
  { vmm, path, capabilities }: InstalledVmm,
  { signal, device = DEVICE }: { signal?: AbortSignal; device?: string } = {},
): Promise<KvmAnswer> {
  if (process.platform !== 'linux') return unusable('KVM is a part of Linux');
  if (!capabilities.accelerators.includes('kvm')) return unusable(`this ${vmm.label} was built without KVM`);
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return unusable(isMissing ? `there is no ${device}` : `${device} may not be opened by this user`);
  }
  const folder = makeProcessFolder('boot');
  try {
    const file = join(folder, 'probe.elf');
    await writeProbe(file);
    const internalError = new AbortController();
    const end = await runVm({
      program: path,
      args: vmm.commandLine({
        way: 'pvh',
        file,
        accel: 'kvm',
        memory: PROBE_MEMORY,
        cpus: 1,
        tables: 'vmm',
        extraArgs: [],
      }),
      folder,
      until: new RegExp(PROBE_MESSAGE),
      timeout: PROBE_TIME,
      stdout: new Writable({ write: (_, __, done) => done() }),
      // QEMU stops the guest after such an error and waits.
      stderr: (text) => void (text.includes('KVM internal error') && internalError.abort()),
      signal: signal === undefined ? internalError.signal : AbortSignal.any([signal, internalError.signal]),
    });
    signal?.throwIfAborted();
    return end.by === 'matched'
      ? { is: 'usable' }
      : unusable(`${device} is there, but does not run a small 64-bit guest`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function writeProbe(path: string): Promise<void> {
  const outputs = createOutputSet();
  try {
    await writeProbeGuest(outputs.add(path));
    await outputs.commit();
  } finally {
    await outputs.abort();
  }
}
