import { createHash } from 'node:crypto';
import { patternPage, runOf } from '../../igvm/igvm-file.fixture';
import { PAGE_FLAG } from '../../igvm/model';
import { streamDirectives } from '../../igvm/stream';
import { PAGE_SIZE } from '../../memory/page';
import { SharedPageHashes } from './paravisor-pages';

const sha384 = (bytes: Uint8Array): Buffer => createHash('sha384').update(bytes).digest();

/** Two pages with contents, more empty pages than are hashed at once, and a private page between two shared ones. */
const EMPTY = 130;
const RUNS = [
  runOf(0x1000, patternPage(1), { flags: PAGE_FLAG.SHARED, pageCount: 1 + EMPTY }),
  runOf(0x100000, patternPage(2)),
  runOf(0x200000, patternPage(3), { flags: PAGE_FLAG.SHARED }),
];
const PAGES = [patternPage(1), ...Array.from({ length: EMPTY }, () => new Uint8Array(PAGE_SIZE)), patternPage(3)];

describe.each([
  ['few pages', 0],
  ['many pages, in a thread', 8192],
])('the hashes of %s', (_, more) => {
  const empty = runOf(0x1000_0000, new Uint8Array(0), { flags: PAGE_FLAG.SHARED, pageCount: more });
  const directives = more === 0 ? RUNS : [...RUNS, empty];
  const pages = [...PAGES, ...Array.from({ length: more }, () => new Uint8Array(PAGE_SIZE))];

  it('cover each shared page, including empty ones, and all of them together', async () => {
    const hashes = new SharedPageHashes(pages.length, pages.length);
    try {
      await streamDirectives({ directives }, [hashes]);
      expect(Buffer.compare(hashes.eachPage(), Buffer.concat(pages.map(sha384)))).toBe(0);
      expect(Buffer.compare(await hashes.allPages(), sha384(Buffer.concat(pages)))).toBe(0);
    } finally {
      await hashes.close();
    }
  });

  it('are unavailable until all pages have been seen', async () => {
    const hashes = new SharedPageHashes(pages.length + 1, pages.length + 1);
    try {
      await streamDirectives({ directives }, [hashes]);
      expect(() => hashes.eachPage()).toThrow(/bug/);
    } finally {
      await hashes.close();
    }
  });
});

it('refuses more shared pages than the region has room for', () => {
  expect(() => new SharedPageHashes(3, 2)).toThrow(expect.objectContaining({ code: 'LAYOUT_OUT_OF_RANGE' }));
});
