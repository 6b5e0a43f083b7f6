import { availableParallelism } from 'node:os';
import { secondSnpDigest, secondVbsDigest } from '../../e2e/measurement/second-measurement';
import type { IgvmFile } from '../igvm/model';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { measure } from './measure';
import { fileOf, hex, MASK, run, vmsa, written } from './measured-guest.fixture';
import type * as KnownWorkers from './known-workers.fixture';
import { knownWorkers } from './known-workers.fixture';

jest.mock('node:worker_threads', () =>
  jest.requireActual<typeof KnownWorkers>('./known-workers.fixture').knownWorkerThreads(),
);

/** The size of a guest for which threads are used, in bytes. */
const LARGE = 36 * 2 ** 20;

describe('the measurement of a guest that is large enough for threads', () => {
  it('agrees with a second implementation, however the memory is split into runs', async () => {
    const bytes = new Uint8Array(LARGE);
    const words = new Uint32Array(bytes.buffer);
    for (let index = 0; index < words.length; index += 5000) words[index] = index;
    const pageCount = bytes.length / PAGE_SIZE;
    const large = run(0x100, { pageCount, content: bytesSource(bytes) });
    const parts = [0, 1, 2, 3].map((part) =>
      run(0x100 + (part * pageCount) / 4, {
        pageCount: pageCount / 4,
        content: bytesSource(bytes.subarray((part * bytes.length) / 4, ((part + 1) * bytes.length) / 4)),
      }),
    );
    const last = [vmsa(0xfffffffff000), run(0, { content: EMPTY_SOURCE })];
    const measured = async (file: IgvmFile) =>
      (await measure(file, { platforms: ['snp', 'vbs'] })).map(({ digest }) => hex(digest));
    const whole = fileOf([large, ...last]);
    const image = await written(whole);
    const expected = [hex(secondSnpDigest(image, MASK.snp, 'hyperv')), hex(secondVbsDigest(image, MASK.vbs))];
    expect(await measured(whole)).toEqual(expected);
    expect(await measured(fileOf([...parts, ...last]))).toEqual(expected);
  });

  it('leaves no thread behind when it fails', async () => {
    knownWorkers.length = 0;
    const content = {
      size: LARGE,
      read(offset: number, target: Uint8Array) {
        if (offset > LARGE / 2) throw new Error('the disk is gone');
        target.fill(1);
      },
    };
    const file = fileOf([run(1, { pageCount: LARGE / PAGE_SIZE, content })]);
    await expect(measure(file, { platforms: ['snp', 'vbs'] })).rejects.toThrow('the disk is gone');
    expect(knownWorkers.length > 0).toBe(availableParallelism() > 1);
    // A thread that has ended has the ID -1.
    expect(knownWorkers.map(({ threadId }) => threadId)).toEqual(knownWorkers.map(() => -1));
  });

  it('fails with the error of its source', async () => {
    const broken = new Error('the disk is gone');
    const content = {
      size: LARGE,
      read() {
        throw broken;
      },
    };
    await expect(measure(fileOf([run(1, { pageCount: LARGE / PAGE_SIZE, content })]))).rejects.toBe(broken);
  });
});
