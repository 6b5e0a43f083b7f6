import type { IgvmFile } from '../igvm/model';

export type VmmName = 'qemu' | 'cloud-hypervisor';

export type Accelerator = 'kvm' | 'tcg';

/** How an image gets into a VM: the VMM loads the file itself, or an exported ELF as a kernel. */
export type BootWay = 'igvm' | 'pvh';

/** The VM that is to run. */
export interface VmSpec {
  way: BootWay;
  /** The .igvm file, or the exported ELF. */
  file: string;
  accel: Accelerator;
  /** Bytes. */
  memory: number;
  cpus: number;
  /** Whether the guest finds the VMM's ACPI tables. */
  tables: 'vmm' | 'image';
  /** Handed to the VMM behind ours. */
  extraArgs: readonly string[];
}

/** What an installed VMM can do. */
export interface VmmCapabilities {
  ways: readonly BootWay[];
  accelerators: readonly Accelerator[];
  /** As it calls its version; undefined when that isn't known. */
  version?: string;
}

/** One virtual machine monitor. */
export interface Vmm {
  readonly name: VmmName;
  /** For messages. */
  readonly label: string;
  /** Names of its program, the usual one first. */
  readonly programs: readonly string[];
  /** Images' pages must lie below this GPA: from there on, it may have no RAM. Bytes. */
  readonly lowMemoryEnd: number;
  /** Bytes at the end of memory that its firmware uses before the guest starts. */
  readonly firmwareRoom: number;
  /** Arguments with which its program says what it can do. */
  readonly questions: readonly (readonly string[])[];
  /** @param answers what it prints to each of its questions */
  capabilities(answers: readonly string[]): VmmCapabilities;
  /** Why it would refuse to load the file itself, as a sentence; undefined when it wouldn't. */
  igvmRefusal(file: IgvmFile, capabilities: VmmCapabilities): string | undefined;
  /** Arguments that start the VM with its first serial port on stdout. */
  commandLine(spec: VmSpec): string[];
}
