import { rmSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { IgvmError } from '../errors/igvm-error';
import { makeProcessFolder } from '../files/process-folder';
import { usableTerminal } from './console';
import { findVmm, type InstalledVmm } from './find-vmm';
import { askKvm } from './kvm-probe';
import { prepareVm, WAY_TEXTS } from './prepare-vm';
import type { GuestTables } from './pvh-export';
import { runVm, stopOnSignals, type VmEnd } from './run-vm';
import { type Accelerator, type BootWay, parseVmMemory, type VmmName } from './vmm';

/** How to run an image. */
export interface BootRequest {
  /** Path of the .igvm file, or of a firmware DLL with an image in it. */
  image: string;
  /** Default: the first that is installed. */
  vmm?: VmmName;
  /** The VMM's program. Default: from PATH. */
  vmmPath?: string;
  /**
   * How the image gets into the VM. `pvh`, the default unless it is firmware: it is converted to a PVH kernel. `igvm`: the VMM loads the
   * file itself; without firmware, such a guest can't power off. `bios`: firmware that ends at 4 GiB becomes the VM's own. The default for
   * firmware is `igvm` if the VMM supports it, otherwise `bios`.
   */
  way?: BootWay;
  /** Default `auto`: KVM if it works, otherwise TCG. */
  accel?: 'auto' | Accelerator;
  /** A size such as 512M. Default: what the image needs, at least 512 MiB. */
  memory?: string | number;
  /** Default 1. */
  cpus?: number;
  /** Default: `image` if the VMM loads the image itself, otherwise `vmm`. */
  tables?: GuestTables;
  /** Replaces the image's command line. */
  commandLine?: string;
  /**
   * A regular expression. The run ends when the guest's serial output matches. With `$`, `\b` or a lookahead it is tried on whole lines
   * only, because it must not match a line that is still growing.
   */
  until?: string;
  /** Seconds until the run ends in any case. */
  timeout?: number;
  /** Further arguments for the VMM. */
  vmmArgs?: readonly string[];
  /** Gets the guest's serial output, byte for byte. It is not closed. */
  stdout: Writable;
  /** The VMM's messages, and ours. */
  stderr: (text: string) => void;
  /** Its input goes to the guest, if it is a terminal that this process may read. Ctrl-a x ends the run. */
  stdin?: ReadStream;
  /** Ends the run. SIGINT, SIGTERM and SIGHUP always do so, too. */
  signal?: AbortSignal;
}

/** How a run ended, and what ran. Nothing ran if it was stopped before the VM started. */
export interface BootResult extends Pick<VmEnd, 'by' | 'exitCode' | 'messages'> {
  vmm?: VmmName;
  accel?: Accelerator;
  way?: BootWay;
  /** The signal to this process that stopped it. */
  signal?: NodeJS.Signals;
  /**
   * Why the run did not succeed. With `until`, success is a match. With `timeout` alone, it is that the guest ended by itself in time.
   * A run that was stopped earlier has shown neither.
   */
  failure?: IgvmError;
}

/** The last line of a Linux that should power off but has no ACPI for it (kernel/reboot.c), with optional time stamps. */
const SYSTEM_HALTED = /^(?:\[[ .\dCT]+\] ?)*reboot: System halted$/m;

/**
 * Boots an image in a VM of this machine and shows its serial output until the run ends.
 * @throws IgvmError BOOT_*, VMM_*, KVM_UNUSABLE, and what reading the image throws
 */
export async function bootImage(request: BootRequest): Promise<BootResult> {
  const until = request.until === undefined ? undefined : parseUntil(request.until);
  const timeout = parseTimeout(request.timeout);
  const size = {
    cpus: parseCpus(request.cpus),
    askedMemory: request.memory === undefined ? undefined : parseVmMemory(request.memory),
  };
  const stop = stopOnSignals(request.signal);
  let folder: string | undefined;
  const ran: Pick<BootResult, 'vmm' | 'accel' | 'way'> = {};
  try {
    const installed = await findVmm(request, { signal: stop.signal });
    const { vmm, path } = installed;
    ran.vmm = vmm.name;
    folder = makeProcessFolder('boot');
    const vm = await prepareVm(request, installed, folder, size);
    ran.way = vm.way;
    const accel = await chosenAccelerator(request, installed, stop.signal);
    ran.accel = accel;
    stop.signal.throwIfAborted();
    request.stderr(`nx-igvm: ${describe(installed, vm.way, accel)}\n`);
    const end = await runVm({
      program: path,
      args: vmm.commandLine({ ...vm, accel, extraArgs: request.vmmArgs ?? [] }),
      folder,
      until,
      halted: vm.tables === 'image' ? SYSTEM_HALTED : undefined,
      timeout,
      stdout: request.stdout,
      stderr: request.stderr,
      terminal: usableTerminal(request.stdin),
      signal: stop.signal,
    });
    if (end.by === 'exited' && end.exitCode !== 0) {
      const reason = end.messages.trim().split('\n').at(-1) ?? '';
      const said = reason === '' ? '' : `: ${reason}`;
      throw new IgvmError('VMM_FAILED', `${vmm.label} ended with exit code ${end.exitCode ?? '?'}${said}`);
    }
    const { unfinished: _, ...result } = end;
    return { ...result, ...ran, signal: stop.name(), failure: failureOf(end, request) };
  } catch (error) {
    if (!stop.signal.aborted || error !== stop.signal.reason) throw error;
    const end: VmEnd = { by: 'stopped', exitCode: undefined, messages: '' };
    return { ...end, ...ran, signal: stop.name(), failure: failureOf(end, request) };
  } finally {
    stop.release();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

function describe({ vmm, capabilities: { version } }: InstalledVmm, way: BootWay, accel: Accelerator): string {
  return `${vmm.label}${version === undefined ? '' : ` ${version}`} with ${accel.toUpperCase()} ${WAY_TEXTS[way]}`;
}

function failureOf(end: VmEnd, { until, timeout, image }: BootRequest): IgvmError | undefined {
  const { by, unfinished } = end;
  const where = { file: image };
  if (by === 'matched') return undefined;
  if (by === 'stopped') {
    if (until === undefined && timeout === undefined) return undefined;
    const what = until === undefined ? 'the guest ended' : `the guest printed anything that matches /${until}/`;
    return new IgvmError('BOOT_STOPPED', `the run was stopped before ${what}`, where);
  }
  if (until !== undefined) {
    const time = by === 'timeout' ? ` within ${timeout} s` : ' before it ended';
    const hint =
      unfinished === undefined
        ? ''
        : `; its last line, ${JSON.stringify(unfinished)}, would match, but has no line end`;
    return new IgvmError('BOOT_NO_MATCH', `the guest printed nothing that matches /${until}/${time}${hint}`, where);
  }
  if (by !== 'timeout') return undefined;
  return new IgvmError('BOOT_TIMEOUT', `the guest was still running after ${timeout} s`, where);
}

/** @throws IgvmError KVM_UNUSABLE, VMM_UNSUPPORTED; the signal's reason */
async function chosenAccelerator(
  { accel: asked = 'auto', stderr }: BootRequest,
  installed: InstalledVmm,
  signal: AbortSignal,
): Promise<Accelerator> {
  const { vmm, capabilities } = installed;
  const hasTcg = capabilities.accelerators.includes('tcg');
  if (asked === 'tcg') {
    if (!hasTcg) throw new IgvmError('VMM_UNSUPPORTED', `this ${vmm.label} has no TCG`);
    return 'tcg';
  }
  const answer = await askKvm(installed, { signal });
  if (answer.is === 'usable') return 'kvm';
  if (asked === 'kvm' || !hasTcg) throw new IgvmError('KVM_UNUSABLE', answer.problem);
  stderr(`nx-igvm: ${answer.problem}; using TCG, which is slower\n`);
  return 'tcg';
}

/** `^` and `$` match at every line. @throws IgvmError BOOT_OPTION */
function parseUntil(text: string): RegExp {
  try {
    return new RegExp(text, 'm');
  } catch (error) {
    throw new IgvmError('BOOT_OPTION', `until is not a valid regular expression: ${(error as Error).message}`);
  }
}

/** Milliseconds. @throws IgvmError BOOT_OPTION */
function parseTimeout(seconds: number | undefined): number | undefined {
  if (seconds === undefined) return undefined;
  if (!(seconds > 0 && seconds <= 2_000_000)) {
    throw new IgvmError('BOOT_OPTION', `timeout is ${seconds}, but must be a number of seconds above 0`);
  }
  return seconds * 1000;
}

/** @throws IgvmError BOOT_OPTION */
function parseCpus(cpus: number | undefined): number {
  if (cpus === undefined) return 1;
  if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= 255)) {
    throw new IgvmError('BOOT_OPTION', `cpus is ${cpus}, but must be a number from 1 to 255`);
  }
  return cpus;
}
