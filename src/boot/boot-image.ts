import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { crc32 } from '../files/checksum';
import { openFileSource } from '../files/file-source';
import { makeProcessFolder } from '../files/process-folder';
import type { IgvmFile } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { formatMemorySize } from '../memory/memory-size';
import { findVmm, type InstalledVmm } from './find-vmm';
import { askKvm } from './kvm-probe';
import { parseVmMemory } from './vm-memory';
import { nativeGuest } from './native-guest';
import { exportPvhFile } from './export-file';
import { LinuxZeroPage } from './linux-zero-page';
import { chosenTables, type GuestTables } from './pvh-export';
import { runVm, type VmEnd } from './run-vm';
import type { Accelerator, BootWay, VmmName, VmSpec } from './vmm';

/** How to run an image. */
export interface BootRequest {
  /** Path of the .igvm file. */
  image: string;
  /** What messages call it. */
  label?: string;
  /** Default: the first that is installed. */
  vmm?: VmmName;
  /** Its program; default: from PATH. */
  vmmPath?: string;
  /** Default `auto`: KVM where it works, else TCG. */
  accel?: 'auto' | Accelerator;
  /** A size like 512M; default: what the image needs and at least 512 MiB. */
  memory?: string | number;
  /** Default 1. */
  cpus?: number;
  /** Default: `image` when the VMM loads the image itself, else `vmm`. */
  tables?: GuestTables;
  /** Replaces the image's. */
  commandLine?: string;
  /** Regular expression; the run ends when the guest's serial output matches. */
  until?: string;
  /** Seconds until the run ends in any case. */
  timeout?: number;
  /** Further arguments for the VMM. */
  vmmArgs?: readonly string[];
  /** The guest's serial output. */
  stdout: (text: string) => void;
  /** The VMM's messages, and ours. */
  stderr: (text: string) => void;
  /** Ends the run. */
  signal?: AbortSignal;
}

/** How a run ended, and what ran. */
export interface BootResult extends VmEnd {
  vmm: VmmName;
  accel: Accelerator;
  way: BootWay;
  /**
   * Why this is not what was asked for. Success is a match of `until`, or without it that the guest ended by itself; a run
   * that is stopped from outside is neither.
   */
  failure?: IgvmError;
}

const DEFAULT_MEMORY = 2 ** 29;

/** What a kernel needs besides its image, generously. Bytes. */
const HEADROOM = 2 ** 27;

const MIB = 2 ** 20;

/**
 * Boots an image in a VM of this machine and shows its serial output until the run ends.
 * @throws IgvmError BOOT_*, VMM_*, KVM_UNUSABLE, and what reading the image throws
 */
export async function bootImage(request: BootRequest): Promise<BootResult> {
  const until = request.until === undefined ? undefined : parseUntil(request.until);
  const timeout = parseTimeout(request.timeout);
  const cpus = parseCpus(request.cpus);
  const askedMemory = request.memory === undefined ? undefined : parseVmMemory(request.memory);

  const installed = findVmm(request);
  const { vmm, path } = installed;
  const folder = makeProcessFolder('boot');
  try {
    const vm = await prepareVm(request, installed, folder, { cpus, askedMemory });
    const accel = await chosenAccelerator(request, installed);
    // Stopped before the guest was started.
    if (typeof accel !== 'string') return { ...accel, vmm: vmm.name, accel: 'kvm', way: vm.way };
    const { stdout, stderr, signal } = request;
    const args = vmm.commandLine({ ...vm, accel, extraArgs: request.vmmArgs ?? [] });
    const end = await runVm({ program: path, args, folder, until, timeout, stdout, stderr, signal });
    if (end.by === 'exited' && end.exitCode !== 0) {
      const reason = end.messages.trim().split('\n').at(-1) ?? '';
      throw new IgvmError('VMM_FAILED', `${vmm.label} ended with exit code ${end.exitCode ?? '?'}: ${reason}`);
    }
    return { ...end, vmm: vmm.name, accel, way: vm.way, failure: failureOf(end, request) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function failureOf({ by }: VmEnd, { until, timeout, label, image }: BootRequest): IgvmError | undefined {
  const where = { file: label ?? image };
  const time = by === 'timeout' ? ` within ${timeout} s` : ' before it ended';
  if (until !== undefined && (by === 'exited' || by === 'timeout')) {
    return new IgvmError('BOOT_NO_MATCH', `the guest printed nothing that matches /${until}/${time}`, where);
  }
  return by === 'timeout'
    ? new IgvmError('BOOT_TIMEOUT', `the guest was still running after ${timeout} s`, where)
    : undefined;
}

/** Everything about the VM that the image decides; the file that it boots from is in `folder`, or the image itself. */
async function prepareVm(
  request: BootRequest,
  installed: InstalledVmm,
  folder: string,
  { cpus, askedMemory }: { cpus: number; askedMemory: number | undefined },
): Promise<Omit<VmSpec, 'accel' | 'extraArgs'>> {
  const source = openFileSource(request.image);
  try {
    const image = readIgvm(source, { crc32 });
    const way = chosenWay(request, installed, image, cpus);
    const memory = vmMemory(image, way, installed, { asked: askedMemory, tables: request.tables });
    if (way === 'igvm') return { way, file: request.image, memory, cpus, tables: 'image' };
    const file = join(folder, 'guest.elf');
    const { tables, memoryNeeded, pagesEnd } = await exportPvhFile(image, file, { ...request, memory, cpus });
    // Pages that wait in a place of their own need memory, too.
    checkMemory(memory, Math.max(memoryNeeded, pagesEnd + installed.vmm.firmwareRoom));
    return { way, file, memory, cpus, tables };
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: request.label ?? request.image }) : error;
  } finally {
    source.close();
  }
}

/**
 * The first way that the VMM has and that does what is asked for. A VMM that loads the file itself gives the guest no
 * ACPI, and takes the command line that is in it.
 */
function chosenWay(
  { tables, commandLine }: BootRequest,
  { vmm, capabilities }: InstalledVmm,
  file: IgvmFile,
  cpus: number,
): BootWay {
  const countsProcessors = file.directives.some(
    (directive) => directive.type === 'parameter' && directive.kind === 'vpCount',
  );
  const canLoad =
    capabilities.ways.includes('igvm') &&
    (tables === undefined || tables === 'image') &&
    commandLine === undefined &&
    (cpus === 1 || countsProcessors) &&
    vmm.igvmRefusal(file) === undefined;
  return canLoad ? 'igvm' : 'pvh';
}

/** @throws IgvmError BOOT_MEMORY when the VM would be too small, or the image lies too high for the VMM */
function vmMemory(
  file: IgvmFile,
  way: BootWay,
  { vmm }: InstalledVmm,
  { asked, tables }: { asked: number | undefined; tables: GuestTables | undefined },
): number {
  const guest = nativeGuest(file);
  const { pages } = guest;
  const zeroPage = LinuxZeroPage.of(guest);
  // A guest that goes by the image's memory map uses all that is in it.
  const hasOwnTables = way === 'igvm' || chosenTables(tables, zeroPage) === 'image';
  const ramEnd = hasOwnTables ? (zeroPage?.ramEnd ?? 0) : 0;
  if (Math.max(pages.end, ramEnd) > vmm.lowMemoryEnd) {
    throw new IgvmError(
      'BOOT_MEMORY',
      `the image has ${pages.end >= ramEnd ? 'pages' : 'a memory map'} up to ${formatMemorySize(Math.max(pages.end, ramEnd))}, and ${vmm.label} has memory without a gap only up to ${formatMemorySize(vmm.lowMemoryEnd)}`,
    );
  }
  const memoryNeeded = Math.max(guest.memoryNeeded, ramEnd);
  const memory = asked ?? Math.ceil(Math.max(DEFAULT_MEMORY, memoryNeeded, pages.end + HEADROOM) / MIB) * MIB;
  checkMemory(memory, Math.max(memoryNeeded, way === 'pvh' ? pages.end + vmm.firmwareRoom : 0));
  return memory;
}

/** @throws IgvmError BOOT_MEMORY */
function checkMemory(memory: number, needed: number): void {
  if (memory < needed) {
    throw new IgvmError(
      'BOOT_MEMORY',
      `the VM has ${formatMemorySize(memory)} of memory, and the image needs ${formatMemorySize(needed)}`,
    );
  }
}

/**
 * @returns the end of the attempt when it was stopped
 * @throws IgvmError KVM_UNUSABLE, VMM_UNSUPPORTED
 */
async function chosenAccelerator(
  { accel: asked = 'auto', stderr, signal }: BootRequest,
  installed: InstalledVmm,
): Promise<Accelerator | VmEnd> {
  const { vmm, capabilities } = installed;
  const hasTcg = capabilities.accelerators.includes('tcg');
  if (asked === 'tcg') {
    if (!hasTcg) throw new IgvmError('VMM_UNSUPPORTED', `this ${vmm.label} has no TCG`);
    return 'tcg';
  }
  const answer = await askKvm(installed, { signal });
  if (answer.is === 'usable') return 'kvm';
  if (answer.is === 'stopped') return answer.end;
  if (asked === 'kvm' || !hasTcg) throw new IgvmError('KVM_UNUSABLE', answer.problem);
  stderr(`nx-igvm: ${answer.problem}; using TCG, which is slower\n`);
  return 'tcg';
}

/** Lines have their own beginnings and ends. @throws IgvmError BOOT_OPTION */
function parseUntil(text: string): RegExp {
  try {
    return new RegExp(text, 'm');
  } catch (error) {
    throw new IgvmError('BOOT_OPTION', `until is no regular expression: ${(error as Error).message}`);
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
