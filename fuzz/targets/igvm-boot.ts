import { exportPvh } from '../../src/boot/pvh-export';
import { imageOf, igvmTarget } from './igvm-target';
import { forgetfulSink } from './written-image';

const OPTIONS = [
  {},
  { tables: 'image', memory: 2 ** 29, cpus: 4, commandLine: 'console=ttyS0' },
  { tables: 'auto', memory: 2 ** 21 },
] as const;

export const igvmBoot = igvmTarget({
  name: 'igvm-boot',
  about: 'conversion to an ELF file that a VMM boots',
  async run(input) {
    const failures: unknown[] = [];
    for (const options of OPTIONS) {
      const { file } = imageOf(input);
      await exportPvh(file, forgetfulSink(), options).catch((error: unknown) => failures.unshift(error));
    }
    if (failures.length > 0) throw failures[0];
  },
});
