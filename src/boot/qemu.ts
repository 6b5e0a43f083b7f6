import { type IgvmFile, type ParameterKind, PLATFORM_TYPE } from '../igvm/model';
import type { Vmm, VmSpec } from './vmm';

/** What the loader knows of parameters (QEMU 10.2, backends/igvm.c); it refuses a file with any other. */
const IGVM_PARAMETERS: readonly ParameterKind[] = ['vpCount', 'memoryMap', 'environmentInfo'];

/** Video memory, option ROMs and BIOS: nothing of an image may lie there. */
const HOLE = { start: 0xa0000, end: 0xe0000 };

/**
 * QEMU for x86-64, from 5.0 on. The machine is always q35: microvm with ACPI hangs at random under TCG. A guest with the
 * image's tables gets no ACPI at all, for Linux can't mix the two: SeaBIOS makes some even with acpi=off, qboot doesn't.
 */
export const QEMU: Vmm = {
  name: 'qemu',
  label: 'QEMU',
  programs: ['qemu-system-x86_64', 'qemu-kvm', '/usr/libexec/qemu-kvm'],
  // With more memory q35 moves the rest above 4 GiB.
  lowMemoryEnd: 2 ** 31,
  // SeaBIOS keeps its tables and works at the end of memory, after QEMU has put the image there.
  firmwareRoom: 2 ** 24,

  capabilities(ask) {
    const accelerators = ask(['-accel', 'help']).split(/\s+/);
    const hasIgvm = ask(['-object', 'help']).split(/\s+/).includes('igvm-cfg');
    return {
      ways: hasIgvm ? ['igvm', 'pvh'] : ['pvh'],
      accelerators: (['kvm', 'tcg'] as const).filter((name) => accelerators.includes(name)),
    };
  },

  igvmRefusal(file) {
    const native = file.platforms.find(({ platformType }) => platformType === PLATFORM_TYPE.NATIVE);
    if (native === undefined) return 'the image has no NATIVE guest';
    for (const directive of file.directives) {
      if ('compatibilityMask' in directive && (directive.compatibilityMask & native.compatibilityMask) === 0) continue;
      const refusal = directiveRefusal(directive);
      if (refusal !== undefined) return `QEMU does not take ${refusal}`;
    }
    return undefined;
  },

  commandLine({ way, file, accel, memory, cpus, tables, extraArgs }: VmSpec) {
    const isBare = way === 'pvh' && tables === 'image';
    const machine = ['q35', `accel=${accel}`];
    if (isBare) machine.push('acpi=off');
    if (way === 'igvm') machine.push('igvm-cfg=igvm');
    return [
      ['-machine', machine.join(',')],
      way === 'igvm' ? ['-object', `igvm-cfg,id=igvm,file=${escapeCommas(file)}`] : ['-kernel', file],
      isBare ? ['-bios', 'qboot.rom'] : [],
      // As much of the processor as the accelerator has: distributions want more than QEMU's default.
      ['-cpu', 'max', '-smp', String(cpus), '-m', `${Math.ceil(memory / 2 ** 20)}M`],
      ['-no-user-config', '-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      extraArgs,
    ].flat();
  },
};

/** QEMU's option syntax: a comma in a value is doubled. */
const escapeCommas = (text: string): string => text.replaceAll(',', ',,');

function directiveRefusal(directive: IgvmFile['directives'][number]): string | undefined {
  switch (directive.type) {
    case 'pageData': {
      const end = directive.gpa + directive.pageCount * 4096;
      return directive.gpa < HOLE.end && end > HOLE.start ? 'pages in 0xa0000-0xdffff' : undefined;
    }
    case 'parameter':
      return IGVM_PARAMETERS.includes(directive.kind) ? undefined : `parameter ${directive.kind}`;
    case 'parameterArea':
      return directive.initialData.size === 0 ? undefined : 'initial data of a parameter area (it would be lost)';
    case 'vpContext':
      return directive.vpIndex === 0 ? undefined : 'contexts of other processors than VP 0';
    case 'parameterInsert':
    case 'requiredMemory':
      return undefined;
    default:
      return `directive ${directive.type}`;
  }
}
