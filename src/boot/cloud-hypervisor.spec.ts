import { CLOUD_HYPERVISOR } from './vmm';
import { nativeImage } from './native-image.fixture';

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
