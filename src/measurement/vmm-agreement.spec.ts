import fc from 'fast-check';
import { randomLaunchFiles } from '../../e2e/measurement/random-launch-file';
import { type KvmVmm, secondKvmDigest, secondModels } from '../../e2e/measurement/second-vmsa';
import { readIgvm } from '../igvm/read-igvm';
import { bytesSource } from '../memory/byte-source';
import { type Launch, launchesOf, launchName } from './launches';
import { measureLaunches } from './measure';

/** For a thorough run: NX_IGVM_RANDOM_LAUNCH_FILES=10000. */
const COUNT = Number(process.env['NX_IGVM_RANDOM_LAUNCH_FILES'] ?? 150);

const counts = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 8 }) },
  { weight: 1, arbitrary: fc.constant(70) },
);

const launches = fc
  .tuple(
    fc.uniqueArray(counts, { minLength: 1, maxLength: 2 }),
    fc.uniqueArray(fc.constantFrom(...secondModels), { minLength: 1, maxLength: 2 }),
  )
  .map(([vcpus, cpu]) => [
    ...launchesOf({ vmm: 'qemu-kvm', vcpus, cpu }),
    ...launchesOf({ vmm: 'cloud-hypervisor-kvm', vcpus }),
  ]);

const hex = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? 'refused' : Buffer.from(bytes).toString('hex');

it(
  `agrees with a second implementation on ${COUNT} random files`,
  async () => {
    const told = { digests: 0, refusals: 0 };
    await fc.assert(
      fc.asyncProperty(randomLaunchFiles, launches, async (random, asked) => {
        const file = readIgvm(bytesSource(random.bytes));
        const report = await measureLaunches(file, { platforms: ['snp'], launches: asked });
        const found = asked.map((launch) => [
          launchName(launch),
          hex(report.measurements.find((each) => each.launch === launch)?.digest),
        ]);
        const isLoaded = ({ vmm, vcpus = 1 }: Launch): boolean =>
          vmm === 'qemu-kvm' ? random.isForQemu && vcpus >= random.leastVcpus : random.isForCloudHypervisor;
        const wanted = asked.map((launch) => {
          const { vmm, vcpus, cpu } = launch;
          const digest = secondKvmDigest(random.bytes, random.mask, vmm as KvmVmm, vcpus ?? 1, cpu?.name);
          return [launchName(launch), isLoaded(launch) ? hex(digest) : 'refused'];
        });
        expect(found).toEqual(wanted);
        for (const [, outcome] of found) told[outcome === 'refused' ? 'refusals' : 'digests']++;
      }),
      { numRuns: COUNT },
    );
    // Files that both implementations refuse agree, too, so enough launches must have a digest: 56 % on average, 49 to 63 % with 150 files.
    expect(told.digests / (told.digests + told.refusals)).toBeGreaterThan(0.25);
  },
  COUNT * 100 + 20_000,
);
