import { launchesOf } from './launches';
import { type Measurement, measurementJson, measurementText } from './measure';

const [qemu] = launchesOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] });
const measurements: Measurement[] = [
  {
    platform: 'snp',
    launch: qemu,
    compatibilityMask: 1,
    digest: Uint8Array.of(0, 0xab),
    warnings: ['KVM is not Hyper-V'],
  },
  { platform: 'vbs', compatibilityMask: 2, digest: Uint8Array.of(1), warnings: [] },
];

describe('a report of measurements', () => {
  it('is a line each for people', () => {
    expect(measurementText(measurements)).toBe(
      'snp  SEV-SNP launch digest (SHA-384), QEMU with KVM, 2 vCPUs, EPYC-Milan: 00AB\nvbs  VBS launch digest (SHA-256): 01\n',
    );
  });

  it('is JSON for programs, with the VMM where the digest depends on it', () => {
    const report = measurementJson({
      measurements,
      refusals: [{ platform: 'snp', launch: { vmm: 'openvmm-kvm' }, reason: 'unknown' }],
    });
    expect(report).toMatch(/^\{\n {2}"measurements": \[\n[^]*\n\}\n$/);
    expect(JSON.parse(report)).toEqual({
      measurements: [
        {
          platform: 'snp',
          vmm: 'qemu-kvm',
          vcpus: 2,
          cpu: 'EPYC-Milan',
          compatibilityMask: 1,
          algorithm: 'SHA-384',
          digest: '00AB',
          warnings: ['KVM is not Hyper-V'],
        },
        { platform: 'vbs', compatibilityMask: 2, algorithm: 'SHA-256', digest: '01', warnings: [] },
      ],
      refusals: [{ platform: 'snp', vmm: 'openvmm-kvm', reason: 'unknown' }],
    });
  });
});
