import fc from 'fast-check';
import { sha256OfSource } from '../files/hashes';
import { countingSource, runOf } from '../igvm/igvm-file.fixture';
import { bytesSource, EMPTY_SOURCE, regionSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { streamDirectives } from '../igvm/stream';
import { FileDigest } from './file-digest';

const HEADERS = 1000;
const bytes = new Uint8Array(HEADERS + 40 * PAGE_SIZE).map((_, index) => (index * 7 + (index >> 12)) % 251);

/** The digest by a pass over runs with data at these pages of the file, and the bytes that were read. */
async function digestOf(
  runs: readonly (readonly [page: number, count: number])[],
): Promise<[digest: string, read: number]> {
  const source = countingSource(bytes);
  const directives = runs.map(([page, count]) =>
    runOf(0, regionSource(source, HEADERS + page * PAGE_SIZE, count * PAGE_SIZE), { pageCount: count }),
  );
  const digest = new FileDigest(source, [runOf(0, EMPTY_SOURCE, { pageCount: 3 }), ...directives]);
  await streamDirectives({ directives }, [digest]);
  return [digest.end(), source.total];
}

describe('the SHA-256 of a file during a pass', () => {
  const expected = sha256OfSource(bytesSource(bytes));

  it.each<[string, [number, number][]]>([
    [
      'come in the order of the file',
      [
        [0, 10],
        [10, 30],
      ],
    ],
    [
      'have other data between and after them',
      [
        [2, 8],
        [12, 20],
      ],
    ],
    ['do not exist', []],
  ])('reads no byte twice if pages %s', async (_, runs) => {
    expect(await digestOf(runs)).toEqual([expected, bytes.length]);
  });

  it('reads at the end what came too early', async () => {
    expect(
      await digestOf([
        [0, 5],
        [35, 5],
        [5, 30],
      ]),
    ).toEqual([expected, bytes.length + 5 * PAGE_SIZE]);
  });

  it('is right for any order', async () => {
    const run = fc.tuple(fc.nat(35), fc.integer({ min: 1, max: 5 }));
    await fc.assert(
      fc.asyncProperty(fc.array(run, { maxLength: 12 }), async (runs) => {
        expect((await digestOf(runs))[0]).toBe(expected);
      }),
    );
  });

  it('takes the bytes of a partly filled page without its padding', async () => {
    const source = countingSource(bytes);
    const part = runOf(0, regionSource(source, HEADERS, PAGE_SIZE + 100), { pageCount: 2 });
    const digest = new FileDigest(source, [part]);
    await streamDirectives({ directives: [part] }, [digest]);
    expect([digest.end(), source.total]).toEqual([expected, bytes.length]);
  });
});
