import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { createOutputSet } from '../files/atomic-output';
import { makeBootFolder } from './boot-folder';
import type { InstalledVmm } from './find-vmm';
import { PROBE_MESSAGE, writeProbeGuest } from './kvm-probe-guest';
import { runVm } from './run-vm';

const DEVICE = '/dev/kvm';

/** Bytes: more than any firmware wants. */
const PROBE_MEMORY = 2 ** 26;

/** Milliseconds. With KVM the guest answers within half a second, firmware included. */
const PROBE_TIME = 3000;

/**
 * Runs a tiny 64-bit guest under KVM. There are hosts whose /dev/kvm opens but doesn't run such guests: nested ones, and
 * some that only know guests made for them. A kernel that starts there hangs without a word.
 * @returns why KVM is of no use; undefined when it is
 * @throws IgvmError FILE_UNWRITABLE
 */
export async function kvmProblem({ vmm, path, capabilities }: InstalledVmm): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'KVM is a part of Linux';
  if (!capabilities.accelerators.includes('kvm')) return `this ${vmm.label} was built without KVM`;
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return isMissing ? `there is no ${DEVICE}` : `${DEVICE} may not be opened by this user`;
  }
  const folder = makeBootFolder();
  const file = join(folder, 'probe.elf');
  const outputs = createOutputSet();
  await writeProbeGuest(outputs.add(file));
  await outputs.commit();
  const stopEarly = new AbortController();
  const { by } = await runVm({
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
    stdout: () => undefined,
    // QEMU stops the guest after such an error and waits.
    stderr: (text) => void (text.includes('KVM internal error') && stopEarly.abort()),
    signal: stopEarly.signal,
  });
  return by === 'matched' ? undefined : `${DEVICE} is there, but does not run a small 64-bit guest`;
}
