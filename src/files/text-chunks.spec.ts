import { textChunks } from './atomic-output';

/** The number of characters in a chunk. */
const CHUNK = 2 ** 16;

describe('textChunks', () => {
  const lengths = (pieces: string[]): number[] => [...textChunks(pieces)].map(({ length }) => length);

  it('are few for many pieces, and contain the same text', () => {
    const pieces = Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`);
    const chunks = [...textChunks(pieces)];
    expect(chunks.join('')).toBe(pieces.join(''));
    expect(chunks).toHaveLength(Math.ceil(pieces.join('').length / CHUNK));
  });

  it('are full before they are written', () => {
    expect(lengths(['x'.repeat(CHUNK - 1), 'y', 'z'])).toEqual([CHUNK, 1]);
    expect(lengths(['x'.repeat(3 * CHUNK)])).toEqual([3 * CHUNK]);
  });

  it('are none without pieces', () => {
    expect(lengths([])).toEqual([]);
    expect(lengths(['', ''])).toEqual([]);
    expect(lengths(['x'.repeat(CHUNK)])).toEqual([CHUNK]);
  });
});
