import { IgvmError } from '../../src/errors/igvm-error';
import { vmmsOf } from '../../src/measurement/image-digests';
import { measurablePlatforms, measure } from '../../src/measurement/measure';
import { measurementJson, measurementText } from '../../src/measurement/measurement-report';
import { imageOf, igvmTarget } from './igvm-target';
import { expectPlainText } from './plain-text';

export const igvmMeasure = igvmTarget({
  name: 'igvm-measure',
  about: 'launch digests: SNP as Hyper-V and as KVM launch, TDX, VBS',
  async run(input) {
    const { file } = imageOf(input);
    let refusal: IgvmError | undefined;
    for (const platform of measurablePlatforms(file)) {
      for (const vmm of vmmsOf(platform)) {
        try {
          const measurements = await measure(file, { platforms: [platform], vmm });
          JSON.parse(measurementJson(measurements, vmm ?? 'hyperv'));
          expectPlainText(measurementText(measurements));
        } catch (error) {
          if (!(error instanceof IgvmError)) throw error;
          refusal = error;
        }
      }
    }
    if (refusal !== undefined) throw refusal;
  },
});
