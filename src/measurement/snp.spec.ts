import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { fileOf, platformOf, runOf } from '../igvm/igvm-file.fixture';
import { streamDirectives } from '../igvm/stream';
import { inlineHasher, type PageHasher } from './page-hashing';
import { SnpLaunchDigests } from './snp';

/** Returns the given hashes, and counts how often it is closed. */
const hasherOf = (hash: PageHasher['hash']) => {
  const hasher = { hash, closed: 0, close: async () => void hasher.closed++ };
  return hasher;
};
const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('SnpLaunchDigests', () => {
  const file: IgvmFile = fileOf(
    [1, 2, 3, 4].map((first) => runOf(0x10000 * first, new Uint8Array(4096).fill(first))),
    {
      platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
      initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 1 }],
    },
  );
  const digestWith = async (hasher: PageHasher): Promise<Uint8Array | undefined> => {
    const digests = new SnpLaunchDigests(file, 1, [{ vmm: 'hyperv' }], { hasher });
    await streamDirectives(file, [digests]);
    const [result] = await digests.results();
    expect(result?.digest).toHaveLength(48);
    return result?.digest;
  };

  it('chains pages in file order, in whatever order their hashes arrive', async () => {
    const expected = await digestWith(inlineHasher);
    const slow = hasherOf(async (pages) => {
      const digests = inlineHasher.hash(pages.slice());
      await later(2 * (4 - (pages[0] as number)));
      return digests;
    });
    expect(await digestWith(slow)).toEqual(expected);
    const mixed = hasherOf((pages) => (pages[0] === 2 ? inlineHasher : slow).hash(pages));
    expect(await digestWith(mixed)).toEqual(expected);
    expect(slow.closed).toBe(1);
  });

  it('fails with the error of its hasher, and closes the hasher', async () => {
    const broken = hasherOf(() => Promise.reject(new Error('out of threads')));
    await expect(digestWith(broken)).rejects.toThrow('out of threads');
    expect(broken.closed).toBe(1);
  });
});
