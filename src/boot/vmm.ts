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
  /**
   * Asks the program at `path`.
   * @param ask runs it with arguments and returns what it prints
   */
  capabilities(ask: (args: readonly string[]) => string): VmmCapabilities;
  /** Why it would refuse to load the file itself; undefined when it wouldn't. */
  igvmRefusal(file: IgvmFile): string | undefined;
  /** Arguments that start the VM with its first serial port on stdout. */
  commandLine(spec: VmSpec): string[];
}
