import { IgvmError } from '../../src/errors/igvm-error';
import { launchesOf } from '../../src/measurement/launches';
import { measurablePlatforms, measureLaunches, measurementJson, measurementText } from '../../src/measurement/measure';
import { imageOf, igvmTarget } from './igvm-target';
import { expectPlainText } from './plain-text';

const LAUNCHES = [
  { vmm: 'hyperv' },
  { vmm: 'vanadium' },
  { vmm: 'qemu-kvm', vcpus: [1, 3], cpu: ['EPYC', 'EPYC-Milan'] },
  { vmm: 'cloud-hypervisor-kvm', vcpus: [2] },
].flatMap(launchesOf);

export const igvmMeasure = igvmTarget({
  name: 'igvm-measure',
  about: 'launch digests: SNP as every VMM launches it, TDX, VBS',
  async run(input) {
    const { file } = imageOf(input);
    let refusal: IgvmError | undefined;
    for (const platform of measurablePlatforms(file)) {
      try {
        const report = await measureLaunches(file, { platforms: [platform], launches: LAUNCHES });
        JSON.parse(measurementJson(report));
        expectPlainText(measurementText(report.measurements));
        for (const { reason } of report.refusals) expectPlainText(reason);
      } catch (error) {
        if (!(error instanceof IgvmError)) throw error;
        refusal = error;
      }
    }
    if (refusal !== undefined) throw refusal;
  },
});
