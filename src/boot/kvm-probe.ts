import { accessSync, constants, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { createOutputSet } from '../files/atomic-output';
import { makeProcessFolder } from '../files/process-folder';
import type { IgvmSink } from '../igvm/file-data';
import { bytesSource } from '../memory/byte-source';
import type { InstalledVmm } from './find-vmm';
import { writePvhElf } from './pvh-elf';
import { runVm } from './run-vm';

const DEVICE = '/dev/kvm';

/** Bytes. More than any firmware needs. */
const PROBE_MEMORY = 2 ** 26;

/** Milliseconds. With KVM, the guest answers within half a second, including firmware. */
const PROBE_TIME = 3000;

/** Whether KVM can run guests on this machine. */
export type KvmAnswer = { is: 'usable' } | { is: 'unusable'; problem: string };

const unusable = (problem: string): KvmAnswer => ({ is: 'unusable', problem });

/**
 * Runs a tiny 64-bit guest under KVM. On some hosts, /dev/kvm can be opened but doesn't run such guests: nested ones, and some that only
 * run guests made for them. There, a kernel hangs without any output.
 * @param options.signal ends the run, which then rejects with the signal's reason
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
    return unusable(isMissing ? `there is no ${device}` : `this user may not open ${device}`);
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
      : unusable(`${device} exists, but does not run a small 64-bit guest`);
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

/** The address at which kvm-probe.S is loaded and entered, and the memory that it needs from there on. Bytes. */
const PROBE = 0x100000;
const PROBE_SIZE = 0x16000;

/** kvm-probe.S, assembled. A test assembles it again and compares. */
export const PROBE_CODE = Buffer.from(
  `
  fafcc7050000110003101100c705f80f110003201100c7050010110003301100
  c705f02f110003301100bf00301100b883000000890783c70805000020003d00
  00004072ef0f0115e00110000f20e00d200600000f22e0b8000011000f22d8b9
  800000c00f320d010900000f30b8330001800f22c0ea7c0010000800b8100000
  008ed88ec08ed031c08ee08ee848c7c096001080ffe048c7c400601180488d05
  0c01000048c7c700401180b903000000e8d1000000b906000000e8c700000048
  83ec1066c7442406ff0f48897c24080f015c240631dbcc900f0b83fb020f85a0
  000000b9010100c0488d0511ffffff4889c248c1ea200f30b9020100c031c031
  d20f300f01f80f01f8b9810000c0ba080018000f30658a0425000000003a05dd
  feffff755eb8010000000fa2dbe3660fefc00f114424c00f20d80f22d80f013c
  249c9db980c3c901ffc975fc48c7c700002080b90000200031c0f3ab488d3583
  000000bafd030000b9a0860100eca8207504ffc975f7ac84c07408baf8030000
  eeebe0f4ebfdc1e1046689040f66c7440f02080066c7440f04008e4889c248c1
  ea106689540f0648c1ea1089540f08c3ffc350488b4424086681380f0b750648
  83442408025848cf0000000000000000ffff0000009baf00ffff00000093cf00
  1700c80110006e782d6967766d3a2067756573742072756e730d0a00
`.replace(/\s/g, ''),
  'hex',
);

/** The guest's output on COM1 once it has done everything that a 64-bit kernel does. */
export const PROBE_MESSAGE = 'nx-igvm: guest runs';

/** Writes the probe guest as a kernel that PVH VMMs boot. */
export async function writeProbeGuest(sink: IgvmSink): Promise<void> {
  await writePvhElf(sink, [{ gpa: PROBE, size: PROBE_SIZE, content: bytesSource(PROBE_CODE) }], PROBE);
}
