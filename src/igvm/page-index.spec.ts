import { sha256Hex } from '../files/hashes';
import { PAGE_SIZE } from '../memory/page';
import { PageIndex } from './page-index';

const START = 0x10000;

/** Stores pages as a writer would. Returns the offset of each page, and the sizes in bytes of what was read back. */
function place(pages: readonly Uint32Array[], hash = sha256Hex): { offsets: number[]; reads: number[] } {
  const stored: Uint8Array[] = [];
  const reads: number[] = [];
  const file = {
    get end() {
      return START + stored.length * PAGE_SIZE;
    },
    read(offset: number, target: Uint8Array) {
      reads.push(target.length);
      for (let at = 0; at < target.length; at += PAGE_SIZE) {
        const page = stored[(offset + at - START) / PAGE_SIZE];
        if (page === undefined) throw new Error(`nothing is stored at ${offset + at}`);
        target.set(page, at);
      }
    },
  };
  const index = new PageIndex(pages.length, file, hash);
  const offsets = pages.map((page) => {
    const next = file.end;
    const offset = index.place(page, 0, next);
    if (offset !== 0) return offset;
    stored.push(new Uint8Array(page.slice().buffer));
    return next;
  });
  return { offsets, reads };
}

const offsetsOf = (pages: readonly Uint32Array[]): number[] => place(pages).offsets;

/** The expected offsets, found by comparing every page with every other. */
function expectedOffsets(pages: readonly Uint32Array[]): number[] {
  const seen = new Map<string, number>();
  return pages.map((page) => {
    const key = page.join();
    const offset = seen.get(key) ?? START + seen.size * PAGE_SIZE;
    seen.set(key, offset);
    return offset;
  });
}

const page = (fill: (words: Uint32Array) => void): Uint32Array => {
  const words = new Uint32Array(PAGE_SIZE / 4);
  fill(words);
  return words;
};

describe('PageIndex', () => {
  it('finds pages again, wherever they were, and pages of zeros too', () => {
    const pages = [1, 2, 0, 1, 2, 3, 0, 0, 3, 4, 1].map((seed) => page((words) => words.fill(seed)));
    expect(offsetsOf(pages)).toEqual(expectedOffsets(pages));
  });

  it('finds long runs of equal pages again', () => {
    const stretch = Array.from({ length: 100 }, (_, number) => page((words) => (words[0] = number + 1)));
    const pages = [
      ...stretch,
      page((words) => words.fill(9)),
      ...stretch,
      ...stretch.slice(0, 50),
      ...stretch.slice(3),
    ];
    expect(offsetsOf(pages)).toEqual(expectedOffsets(pages));
  });

  it('tells pages apart that differ in one bit, in each word', () => {
    const pages = Array.from({ length: PAGE_SIZE / 4 }, (_, word) => page((words) => (words[word] = 0x8000_0000)));
    expect(offsetsOf([...pages, ...pages])).toEqual(expectedOffsets([...pages, ...pages]));
  });

  describe('with known random numbers', () => {
    beforeEach(() => void jest.spyOn(Math, 'random').mockReturnValue(0.7));
    afterEach(() => jest.restoreAllMocks());

    const numbered = (count: number, word = 0) =>
      Array.from({ length: count }, (_, number) => page((words) => (words[word] = number + 1)));

    it('neither reads nor hashes to tell pages apart that differ in the sampled bytes, or to find pages of zeros', () => {
      const hash = jest.fn(sha256Hex);
      const zeros = Array.from({ length: 50 }, () => page(() => undefined));
      expect(place([...numbered(500), ...zeros], hash).reads).toEqual([]);
      expect(hash).not.toHaveBeenCalled();
    });

    it('reads stored pages back in large pieces while they are the same ones in the same order', () => {
      const pages = numbered(100);
      const { reads } = place([...pages, ...pages]);
      // One page, then pieces of 16 pages; the last one ends with what is stored.
      expect(reads).toEqual([PAGE_SIZE, ...Array.from({ length: 6 }, () => 16 * PAGE_SIZE), 3 * PAGE_SIZE]);
    });

    it('compares a page with at most 16 others that share its sampled bytes, and hashes nothing', () => {
      const hash = jest.fn(sha256Hex);
      const { reads } = place(numbered(100, 20), hash);
      // Pages 2 to 17 are compared with all pages before them, and then these 16 are read for their new keys. The third page finds the
      // first one still held.
      expect(reads.length).toBe((16 * 17) / 2 - 1 + 16);
      expect(hash).not.toHaveBeenCalled();
    });
  });

  it('stays exact and switches to SHA-256 when many pages have the same key', () => {
    // With known random numbers, pages with equal keys can be made: each second word cancels the change of the word before.
    const random = jest.spyOn(Math, 'random').mockReturnValue(0);
    const afterSampled = (state: number, word: number): number => {
      const product = Math.imul(state ^ word, 0x9e3779b1);
      return (product << 13) | (product >>> 19);
    };
    const colliding = Array.from({ length: 60 }, (_, number) =>
      page((words) => {
        words[1] = 1;
        const before = afterSampled(0, 0);
        words[4] = number;
        words[8] = afterSampled(before, number) ^ afterSampled(before, 0);
      }),
    );
    const hash = jest.fn(sha256Hex);
    const pages = [...colliding, ...colliding, page((words) => words.fill(5)), ...colliding];
    try {
      expect(place(pages, hash).offsets).toEqual(expectedOffsets(pages));
      expect(hash.mock.calls.length).toBeGreaterThan(120);
    } finally {
      random.mockRestore();
    }
  });
});
