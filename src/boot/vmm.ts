import { hex } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import { type IgvmFile, type ParameterKind, PLATFORM_TYPE } from '../igvm/model';
import { vmmProfile } from '../measurement/launches';
import { PAGE_SIZE, readMemorySize } from '../memory/page';

export type VmmName = 'qemu' | 'cloud-hypervisor';

export type Accelerator = 'kvm' | 'tcg';

/** How an image gets into a VM: the VMM loads the file itself, an exported ELF file as a kernel, or firmware in place of its own. */
export type BootWay = 'igvm' | 'pvh' | 'bios';

/** The VM to run. */
export interface VmSpec {
  way: BootWay;
  /** The .igvm file, the exported ELF, or the firmware. */
  file: string;
  /** Files that are in memory before firmware starts, at a GPA in bytes. */
  loaded?: readonly { file: string; gpa: number }[];
  accel: Accelerator;
  /** Bytes. */
  memory: number;
  cpus: number;
  /** Whether the guest finds the VMM's ACPI tables. */
  tables: 'vmm' | 'image';
  /** Appended to our own arguments for the VMM. */
  extraArgs: readonly string[];
}

/** The capabilities of an installed VMM. */
export interface VmmCapabilities {
  ways: readonly BootWay[];
  accelerators: readonly Accelerator[];
  /** Its version as it states it; undefined if unknown. */
  version?: string;
}

/** One virtual machine monitor. */
export interface Vmm {
  readonly name: VmmName;
  /** For messages. */
  readonly label: string;
  /** Names of its program, the most common one first. */
  readonly programs: readonly string[];
  /** The pages of an image must lie below this GPA, above which there may be no RAM. */
  readonly lowMemoryEnd: number;
  /** The number of bytes at the end of memory that its firmware uses before the guest starts. */
  readonly firmwareRoom: number;
  /** Arguments for which its program states its capabilities. */
  readonly questions: readonly (readonly string[])[];
  /** @param answers its output for each of the queries */
  capabilities(answers: readonly string[]): VmmCapabilities;
  /** The reason why it would refuse to load the file itself, as a sentence; undefined if it wouldn't. */
  igvmRefusal(file: IgvmFile, capabilities: VmmCapabilities): string | undefined;
  /** Arguments that start the VM with its first serial port on stdout. */
  commandLine(spec: VmSpec): string[];
}

/**
 * The parameters that QEMU's loader knows, and since which major version (backends/igvm.c). It refuses a file with any other. QEMU has
 * the loader since 10.1.
 */
const IGVM_PARAMETERS: Partial<Record<ParameterKind, number>> = {
  vpCount: 10,
  memoryMap: 10,
  environmentInfo: 10,
  madt: 11,
};

/** Parameters that QEMU writes to the beginning of their area, ignoring the offset in the file. */
const AT_THE_BEGINNING: readonly ParameterKind[] = ['memoryMap', 'madt'];

/** Video memory, option ROMs and BIOS. An image must not use this range. */
const HOLE = { start: 0xa0000, end: 0xe0000 };

/**
 * QEMU for x86-64, from 5.0 on. The machine is always q35, because microvm with ACPI hangs at random under TCG. A guest with the
 * image's tables gets no ACPI at all, because Linux can't mix the two. SeaBIOS creates some tables even with acpi=off, qboot doesn't.
 */
export const QEMU: Vmm = {
  name: 'qemu',
  label: 'QEMU',
  programs: ['qemu-system-x86_64', 'qemu-kvm', '/usr/libexec/qemu-kvm'],
  // With more memory q35 moves the rest above 4 GiB.
  lowMemoryEnd: 2 ** 31,
  // SeaBIOS keeps its tables and works at the end of memory, after QEMU has put the image there.
  firmwareRoom: 2 ** 24,

  questions: [['-accel', 'help'], ['-object', 'help'], ['-version']],
  capabilities([accelerators = '', objects = '', version = '']) {
    const known = accelerators.split(/\s+/);
    return {
      ways: objects.split(/\s+/).includes('igvm-cfg') ? ['pvh', 'bios', 'igvm'] : ['pvh', 'bios'],
      accelerators: (['kvm', 'tcg'] as const).filter((name) => known.includes(name)),
      version: /version (\d+(?:\.\d+)*)/.exec(version)?.[1],
    };
  },

  igvmRefusal(file, { version }) {
    const major = Number(version?.split('.')[0] ?? 10);
    const native = file.platforms.find(({ platformType }) => platformType === PLATFORM_TYPE.NATIVE);
    if (native === undefined) return 'the image has no NATIVE guest';
    const { initializations = [], directives = [] } = vmmProfile('qemu-kvm').loads ?? {};
    const header = file.initializations.find(({ type }) => !initializations.includes(type));
    if (header !== undefined) return `QEMU does not accept header ${header.type}`;
    for (const directive of file.directives) {
      // It refuses an unknown type before it checks the platform of the directive.
      if (!directives.includes(directive.type)) return `QEMU does not accept directive ${directive.type}`;
      if ('compatibilityMask' in directive && (directive.compatibilityMask & native.compatibilityMask) === 0) continue;
      const refusal = directiveRefusal(directive, major);
      if (refusal !== undefined) return `QEMU does not accept ${refusal}`;
    }
    return undefined;
  },

  commandLine({ way, file, loaded = [], accel, memory, cpus, tables, extraArgs }: VmSpec) {
    const isBare = way === 'pvh' && tables === 'image';
    const machine = ['q35', `accel=${accel}`];
    if (isBare) machine.push('acpi=off');
    if (way === 'igvm') machine.push('igvm-cfg=igvm');
    return [
      ['-machine', machine.join(',')],
      way === 'igvm' ? ['-object', `igvm-cfg,id=igvm,file=${escapeCommas(file)}`] : [],
      way === 'pvh' ? ['-kernel', file] : [],
      way === 'bios' ? ['-bios', file] : [],
      loaded.flatMap(({ file: pages, gpa }) => [
        '-device',
        `loader,file=${escapeCommas(pages)},addr=${hex(gpa)},force-raw=on`,
      ]),
      isBare ? ['-bios', 'qboot.rom'] : [],
      // All features that the accelerator has. Distributions require more than QEMU's default processor.
      ['-cpu', 'max', '-smp', String(cpus), '-m', `${Math.ceil(memory / 2 ** 20)}M`],
      ['-no-user-config', '-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      extraArgs,
    ].flat();
  },
};

/** In QEMU's option syntax, a comma in a value is doubled. */
const escapeCommas = (text: string): string => text.replaceAll(',', ',,');

function directiveRefusal(directive: IgvmFile['directives'][number], major: number): string | undefined {
  switch (directive.type) {
    case 'pageData': {
      const end = directive.gpa + directive.pageCount * 4096;
      return directive.gpa < HOLE.end && end > HOLE.start ? 'pages in 0xa0000-0xdffff' : undefined;
    }
    case 'parameter':
      if (major < (IGVM_PARAMETERS[directive.kind] ?? Infinity)) return `parameter ${directive.kind}`;
      return directive.byteOffset !== 0 && AT_THE_BEGINNING.includes(directive.kind)
        ? `parameter ${directive.kind} with an offset (it would be written to the beginning of its area)`
        : undefined;
    case 'parameterArea':
      return directive.initialData.size === 0 ? undefined : 'initial data of a parameter area (it would be lost)';
    case 'vpContext':
      return directive.vpIndex === 0 ? undefined : 'contexts of processors other than VP 0';
    default:
      return undefined;
  }
}

/**
 * Cloud Hypervisor. Its only accelerator is KVM. It boots images as PVH kernels, because its own IGVM loader is for confidential guests
 * and accepts no native context.
 */
export const CLOUD_HYPERVISOR: Vmm = {
  name: 'cloud-hypervisor',
  label: 'Cloud Hypervisor',
  programs: ['cloud-hypervisor', 'cloud-hypervisor-static'],
  // Devices begin at 3 GiB.
  lowMemoryEnd: 3 * 2 ** 30,
  // No firmware runs before a PVH kernel.
  firmwareRoom: 0,

  questions: [],
  capabilities: () => ({ ways: ['pvh'], accelerators: ['kvm'] }),

  igvmRefusal: () => 'Cloud Hypervisor does not load NATIVE guests from IGVM files',

  commandLine: ({ file, memory, cpus, extraArgs }) =>
    [
      ['--kernel', file],
      ['--cpus', `boot=${cpus}`],
      ['--memory', `size=${memory}`],
      ['--serial', 'tty', '--console', 'off'],
      extraArgs,
    ].flat(),
};

/**
 * Parses the size of a VM's memory to bytes.
 * @throws IgvmError BOOT_OPTION for text that is not a size, or a size that is not a multiple of a page
 */
export function parseVmMemory(text: string | number): number {
  const bytes = readMemorySize(text);
  if (bytes === undefined || bytes % PAGE_SIZE !== 0) {
    throw new IgvmError('BOOT_OPTION', `memory "${text}" is not a size like 512M or 1G`);
  }
  return bytes;
}
