import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { launchesOf } from './launches';
import {
  measure,
  measureFile,
  measureFileLaunches,
  type Measurement,
  measurementJson,
  measurementText,
} from './measure';

describe('measureFile', () => {
  let folder: string;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'measure-file-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  const guest = (type: PlatformType) => fileOf([runOf(0x1000, patternPage(1))], { platforms: [platformOf(type)] });
  async function image(type: PlatformType): Promise<string> {
    const path = join(folder, `${type}.igvm`);
    writeFileSync(path, (await written(guest(type))).bytes);
    return path;
  }

  it('measures an image on disk like the same image in memory', async () => {
    const path = await image(PLATFORM_TYPE.VSM_ISOLATION);
    const measurements = await measureFile(path);
    expect(measurements).toEqual(await measure(guest(PLATFORM_TYPE.VSM_ISOLATION)));
    expect(measurements).toHaveLength(1);
    expect(await measureFile(path, { platforms: ['vbs'] })).toEqual(measurements);
    expect(await measureFileLaunches(path)).toEqual({ measurements, refusals: [] });
  });

  it('finds nothing to measure in a native image, and fails if a platform is requested', async () => {
    const path = await image(PLATFORM_TYPE.NATIVE);
    expect(await measureFile(path)).toEqual([]);
    await expect(measureFile(path, { platforms: ['snp'] })).rejects.toMatchObject({ code: 'MEASUREMENT_UNAVAILABLE' });
  });

  it('names the file that it cannot measure', async () => {
    const path = join(folder, 'missing.igvm');
    await expect(measureFile(path)).rejects.toMatchObject({ code: 'FILE_UNREADABLE', where: { file: path } });
  });
});

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
  it('is one line per measurement for people', () => {
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
