import type { Directive, InitializationHeader, ParameterKind } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { nativeContext, nativeImage, pageData, parameter } from './native-image.fixture';
import { CLOUD_HYPERVISOR, parseVmMemory, QEMU, type VmSpec } from './vmm';

const HELP = {
  accel: 'Accelerators supported in QEMU binary:\ntcg\nxen\nkvm\n',
  object: 'List of user creatable objects:\n  can-bus\n  igvm-cfg\n  input-barrier\n',
};

const line = (change: Partial<VmSpec> = {}): string =>
  QEMU.commandLine({
    way: 'pvh',
    file: '/tmp/guest.elf',
    accel: 'tcg',
    memory: 2 ** 29,
    cpus: 2,
    tables: 'vmm',
    extraArgs: [],
    ...change,
  }).join(' ');

describe('QEMU', () => {
  it('is queried for its capabilities', () => {
    expect(QEMU.questions.map(([option]) => option)).toEqual(['-accel', '-object', '-version']);
    const version = 'QEMU emulator version 10.2.0 (v10.2.0)\nCopyright (c) 2003-2025';
    expect(QEMU.capabilities([HELP.accel, HELP.object, version])).toEqual({
      ways: ['pvh', 'bios', 'igvm'],
      accelerators: ['kvm', 'tcg'],
      version: '10.2.0',
    });
    expect(QEMU.capabilities(['tcg', 'igvm-cfg-of-another-kind', 'my own'])).toEqual({
      ways: ['pvh', 'bios'],
      accelerators: ['tcg'],
      version: undefined,
    });
  });

  it('boots an exported image as a kernel of a q35 machine', () => {
    expect(line()).toBe(
      '-machine q35,accel=tcg -kernel /tmp/guest.elf -cpu max -smp 2 -m 512M -no-user-config -nodefaults -display none -monitor none -serial stdio -no-reboot',
    );
  });

  it('provides no ACPI to a guest with the image’s tables', () => {
    expect(line({ tables: 'image' })).toContain(
      '-machine q35,accel=tcg,acpi=off -kernel /tmp/guest.elf -bios qboot.rom ',
    );
  });

  it('loads an image itself, whatever its name', () => {
    expect(line({ way: 'igvm', file: '/a,b.igvm', tables: 'image', accel: 'kvm' })).toMatch(
      /^-machine q35,accel=kvm,igvm-cfg=igvm -object igvm-cfg,id=igvm,file=\/a,,b\.igvm -cpu/,
    );
  });

  it('starts firmware with pages in memory, whatever their names', () => {
    const loaded = [
      { file: '/a,b/813000.bin', gpa: 0x813000 },
      { file: '/a,b/20000000.bin', gpa: 0x20000000 },
    ];
    expect(line({ way: 'bios', file: '/a,b/firmware.bin', loaded })).toMatch(
      /^-machine q35,accel=tcg -bios \/a,b\/firmware\.bin -device loader,file=\/a,,b\/813000\.bin,addr=0x813000,force-raw=on -device loader,file=\/a,,b\/20000000\.bin,addr=0x20000000,force-raw=on -cpu/,
    );
  });

  it('rounds memory up to whole MiB', () => {
    expect(line({ memory: 2 ** 29 + 4096 })).toContain('-m 513M ');
  });

  it('gets further arguments after ours', () => {
    expect(line({ extraArgs: ['-device', 'virtio-rng-pci'] })).toMatch(/ -no-reboot -device virtio-rng-pci$/);
  });

  describe('loading an image itself', () => {
    const by = (version?: string) => ({ ways: ['pvh', 'igvm'], accelerators: ['tcg'], version }) as const;
    const refusal = (...more: Directive[]): string | undefined => QEMU.igvmRefusal(nativeImage(more), by('10.2.0'));

    it('accepts pages, required memory, a context for VP 0, and three parameters', () => {
      const required = { gpa: 0x100000, compatibilityMask: 1, size: 0x1000, vtl2Protectable: false };
      expect(
        refusal(
          { type: 'requiredMemory', ...required },
          ...parameter(0, 0x9000, 'vpCount'),
          ...parameter(1, 0xb000, 'memoryMap'),
          ...parameter(2, 0xc000, 'environmentInfo'),
        ),
      ).toBeUndefined();
    });

    it.each(['commandLine', 'madt', 'srat', 'slit', 'pptt', 'mmioRanges', 'deviceTree'] as const)(
      'refuses the parameter %s',
      (kind) => expect(refusal(...parameter(0, 0x9000, kind))).toContain(kind),
    );

    it('accepts a MADT from version 11 on, and assumes the least if the version is unknown', () => {
      const image = nativeImage(parameter(0, 0x9000, 'madt'));
      expect(QEMU.igvmRefusal(image, by('11.0.50'))).toBeUndefined();
      for (const version of ['10.2.9', '9.0', undefined]) {
        expect(QEMU.igvmRefusal(image, by(version))).toContain('madt');
      }
      expect(QEMU.igvmRefusal(nativeImage(parameter(0, 0x9000, 'srat')), by('11.0.50'))).toContain('srat');
      expect(QEMU.igvmRefusal(nativeImage(parameter(0, 0x9000, 'vpCount')), by())).toBeUndefined();
    });

    it('refuses initial data, which would be lost', () => {
      expect(refusal(...parameter(0, 0x9000, 'vpCount', { initial: '\0' }))).toContain('initial data');
      expect(
        refusal({ type: 'parameterArea', size: 4096, index: 3, initialData: bytesSource(new Uint8Array(1)) }),
      ).toContain('initial data');
    });

    it('refuses pages of video memory and option ROMs, other processors, other directives', () => {
      expect(refusal(pageData(0x9f000, 2))).toContain('0xa0000');
      expect(refusal(pageData(0x9f000, 1))).toBeUndefined();
      expect(refusal({ ...nativeContext(), vpIndex: 1 } as Directive)).toContain('VP 0');
      expect(refusal({ type: 'errorRange', gpa: 0, compatibilityMask: 1, size: 4096 })).toContain('errorRange');
    });

    it('refuses maps of memory and processors that would lie elsewhere in their area', () => {
      const moved = (kind: ParameterKind): string | undefined => {
        const directives = parameter(0, 0x9000, kind).map((each) =>
          each.type === 'parameter' ? { ...each, byteOffset: 16 } : each,
        );
        return QEMU.igvmRefusal(nativeImage(directives), by('11.0.3'));
      };
      expect(moved('memoryMap')).toContain('beginning of its area');
      expect(moved('madt')).toContain('beginning of its area');
      expect(moved('vpCount')).toBeUndefined();
    });

    it('checks the memory and the processor of the NATIVE guest only, and the headers of all guests', () => {
      expect(refusal({ ...pageData(0xa0000, 1), compatibilityMask: 2 } as Directive)).toBeUndefined();
      expect(refusal({ ...nativeContext(), vpIndex: 1, compatibilityMask: 2 } as Directive)).toBeUndefined();
      expect(refusal({ type: 'errorRange', gpa: 0, compatibilityMask: 2, size: 4096 })).toContain('errorRange');
      const other = { type: 'relocatableRegion', compatibilityMask: 2 } as unknown as InitializationHeader;
      expect(QEMU.igvmRefusal({ ...nativeImage(), initializations: [other] }, by('11.0.3'))).toContain(
        'relocatableRegion',
      );
      const policy: InitializationHeader = { type: 'guestPolicy', compatibilityMask: 2, policy: 0n };
      expect(QEMU.igvmRefusal({ ...nativeImage(), initializations: [policy] }, by('11.0.3'))).toBeUndefined();
      const image = nativeImage();
      image.platforms = [];
      expect(QEMU.igvmRefusal(image, by('11.0.0'))).toContain('no NATIVE guest');
    });
  });
});

describe('Cloud Hypervisor', () => {
  it('boots an exported image as a kernel, with the serial port on stdout', () => {
    const args = CLOUD_HYPERVISOR.commandLine({
      way: 'pvh',
      file: '/tmp/guest.elf',
      accel: 'kvm',
      memory: 2 ** 29,
      cpus: 2,
      tables: 'vmm',
      extraArgs: ['--disk', 'path=a.img'],
    });
    expect(args.join(' ')).toBe(
      '--kernel /tmp/guest.elf --cpus boot=2 --memory size=536870912 --serial tty --console off --disk path=a.img',
    );
  });

  it('supports only KVM, and does not load images itself', () => {
    expect(CLOUD_HYPERVISOR.capabilities([])).toEqual({ ways: ['pvh'], accelerators: ['kvm'] });
    expect(CLOUD_HYPERVISOR.igvmRefusal(nativeImage(), CLOUD_HYPERVISOR.capabilities([]))).toBeDefined();
  });
});

describe("a VM's memory", () => {
  it('is whole pages', () => {
    expect(parseVmMemory('512M')).toBe(2 ** 29);
    expect(parseVmMemory(4096)).toBe(4096);
  });

  it.each(['', 'all', '512', '4097'])('%j is an error of the option', (text) => {
    expect(() => parseVmMemory(text)).toThrow(expect.objectContaining({ code: 'BOOT_OPTION' }));
  });
});
