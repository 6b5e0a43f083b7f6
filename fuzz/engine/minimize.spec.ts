import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addToCorpus, readCorpus, replaceGenerated } from './corpus';
import { type MeasuredFile, worthKeeping } from './minimize';

const file = (name: string, size: number, ...features: number[]): MeasuredFile => ({
  name,
  bytes: new Uint8Array(size),
  features: new Set(features),
});
const names = (files: readonly MeasuredFile[]): string[] => files.map(({ name }) => name);

describe('the inputs worth keeping', () => {
  it('together reach everything, and each adds something', () => {
    const kept = worthKeeping(
      [file('a', 10, 1, 2), file('b', 10, 2, 3), file('c', 10, 1, 3), file('d', 10, 3)],
      new Set(),
    );
    expect(kept).toHaveLength(2);
    expect(new Set(kept.flatMap(({ features }) => [...features]))).toEqual(new Set([1, 2, 3]));
  });

  it('are the smallest ones with equal coverage', () => {
    expect(names(worthKeeping([file('large', 5000, 1), file('small', 10, 1)], new Set()))).toEqual(['small']);
  });

  it('are none if the other inputs already reach as much', () => {
    expect(worthKeeping([file('a', 10, 1, 2)], new Set([1, 2, 3]))).toEqual([]);
  });
});

describe('a corpus on disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-corpus-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is empty if its folder does not exist', () => {
    expect(readCorpus(join(folder, 'none'))).toEqual([]);
  });

  it('keeps named inputs when it is minimized', () => {
    addToCorpus(folder, Uint8Array.of(1));
    addToCorpus(folder, Uint8Array.of(2), 'comment-without-end');
    const kept = { name: '0123456789abcdef', bytes: Uint8Array.of(3) };
    replaceGenerated(folder, [kept]);
    expect(readCorpus(folder)).toEqual([kept, { name: 'comment-without-end', bytes: Uint8Array.of(2) }]);
  });
});
