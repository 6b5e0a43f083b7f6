import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { PAGE_SIZE } from '../memory/page';
import type * as KnownWorkers from './known-workers.fixture';
import { knownWorkers } from './known-workers.fixture';
import {
  HashThread,
  inlineHasher,
  pageChainFor,
  pageDigestsFor,
  type PageHasher,
  pageHasherFor,
  PageHashPool,
  THREAD_THRESHOLD,
  ZERO_PAGE_DIGEST,
} from './page-hashing';

jest.mock('node:worker_threads', () =>
  jest.requireActual<typeof KnownWorkers>('./known-workers.fixture').knownWorkerThreads(),
);

const sha = (algorithm: string, ...parts: Uint8Array[]): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHash(algorithm)).digest();

/** Pages, in shared memory or not. Every third page is zero, and every third only begins with zeros. */
function pagesOf(count: number, memory: ArrayBufferLike = new ArrayBuffer(count * PAGE_SIZE)): Uint8Array {
  const pages = new Uint8Array(memory, memory.byteLength - count * PAGE_SIZE);
  for (let page = 0; page < count; page++) {
    if (page % 3 === 0) continue;
    pages.fill(page, page * PAGE_SIZE + (page % 3 === 1 ? 0 : 100), (page + 1) * PAGE_SIZE);
  }
  return pages;
}
const pageAt = (pages: Uint8Array, page: number): Uint8Array =>
  pages.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
const digestsOf = (pages: Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: pages.length / PAGE_SIZE }, (_, page) => sha('sha384', pageAt(pages, page))));
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('hashing pages on the calling thread', () => {
  it('returns the SHA-384 of each page, including pages of zeros', async () => {
    const pages = pagesOf(10);
    expect(same(await inlineHasher.hash(pages), digestsOf(pages))).toBe(true);
    expect(same(ZERO_PAGE_DIGEST, sha('sha384', new Uint8Array(PAGE_SIZE)))).toBe(true);
  });
});

describe('a thread that hashes', () => {
  let thread: HashThread;
  beforeEach(() => void (thread = new HashThread()));
  afterEach(() => thread.close());

  it.each<[string, ArrayBufferLike]>([
    ['memory of its own', new ArrayBuffer(12 * PAGE_SIZE)],
    ['shared memory', new SharedArrayBuffer(12 * PAGE_SIZE)],
  ])('returns the digests of pages in %s, which stays unchanged', async (_, memory) => {
    const pages = pagesOf(10, memory);
    const expected = digestsOf(pages);
    expect(same(await thread.run({ kind: 'digests', pages }), expected)).toBe(true);
    expect(same(digestsOf(pages), expected)).toBe(true);
  });

  it('does its jobs in order and reports how many are left', async () => {
    expect(thread.waiting).toBe(0);
    const order: number[] = [];
    const jobs = [30, 1, 20].map(async (count, index) => {
      const digests = await thread.run({ kind: 'digests', pages: pagesOf(count) });
      order.push(index);
      expect(digests).toHaveLength(48 * count);
    });
    expect(thread.waiting).toBeGreaterThan(0);
    await Promise.all(jobs);
    expect(order).toEqual([0, 1, 2]);
    expect(thread.waiting).toBe(0);
  });

  it('ignores modules that the user has Node preload', async () => {
    const options = process.env['NODE_OPTIONS'];
    process.env['NODE_OPTIONS'] = '--require=./there-is-no-such-file.cjs';
    const other = new HashThread();
    try {
      expect(await other.run({ kind: 'digests', pages: pagesOf(1) })).toHaveLength(48);
    } finally {
      await other.close();
      if (options === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = options;
    }
  });

  it('fails its pending and all later jobs when it breaks', async () => {
    const broken = thread.run({ kind: 'nothing' } as never);
    const behind = thread.run({ kind: 'digests', pages: pagesOf(1) });
    const failures = await Promise.allSettled([broken, behind]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(thread.run({ kind: 'digests', pages: pagesOf(1) })).rejects.toThrow(/undefined/);
  });

  it('fails its pending jobs when it is closed', async () => {
    const job = thread.run({ kind: 'digests', pages: pagesOf(100) });
    const outcome = expect(job).rejects.toThrow('the hash thread is closed');
    await thread.close();
    await outcome;
  });
});

describe('a pool of threads', () => {
  let pool: PageHashPool;
  beforeEach(() => void (pool = new PageHashPool(2)));
  afterEach(() => pool.close());

  it('gives large batches to its threads and hashes small ones immediately', async () => {
    const small = pagesOf(7);
    expect(pool.hash(small)).toBeInstanceOf(Uint8Array);
    const large = pagesOf(8);
    const digests = pool.hash(large);
    expect(digests).toBeInstanceOf(Promise);
    expect(same(await digests, digestsOf(large))).toBe(true);
  });

  it('queues two batches for each thread and hashes the rest itself', async () => {
    const pages = pagesOf(2000, new SharedArrayBuffer(2000 * PAGE_SIZE));
    const started = Array.from({ length: 5 }, () => pool.hash(pages));
    expect(started.map((digests) => digests instanceof Promise)).toEqual([true, true, true, true, false]);
    const expected = digestsOf(pages);
    for (const digests of await Promise.all(started)) expect(same(digests, expected)).toBe(true);
  });

  it('is not used for less than 32 MiB', async () => {
    expect(THREAD_THRESHOLD).toBe(8192);
    expect(pageHasherFor(THREAD_THRESHOLD - 1)).toBe(inlineHasher);
    const hasher: PageHasher = pageHasherFor(THREAD_THRESHOLD);
    await hasher.close();
  });
});

describe.each([
  ['the digests of few pages', 0],
  ['the digests of many pages, which a thread makes', THREAD_THRESHOLD],
])('%s', (_, size) => {
  it('are one digest per page, and one of all pages', async () => {
    const digests = pageDigestsFor(size);
    try {
      const parts = [pagesOf(5), pagesOf(1), pagesOf(30)];
      const each = await Promise.all(parts.map((pages) => digests.add(pages)));
      expect(each.map((bytes, index) => same(bytes, digestsOf(parts[index] as Uint8Array)))).toEqual([
        true,
        true,
        true,
      ]);
      expect(same(await digests.end(), sha('sha384', ...parts))).toBe(true);
    } finally {
      await digests.close();
    }
  });

  it('need no pages, and can be closed unused', async () => {
    const digests = pageDigestsFor(size);
    expect(same(await digests.end(), sha('sha384'))).toBe(true);
    await digests.close();
    await pageDigestsFor(size).close();
  });
});

describe.each([
  ['a short chain', 0],
  ['a long chain, which a thread makes', THREAD_THRESHOLD],
])('%s', (_, size) => {
  const head = (first: number): Uint8Array => {
    const bytes = new Uint8Array(32).fill(7);
    new DataView(bytes.buffer).setBigUint64(24, BigInt(first), true);
    return bytes;
  };

  it('covers the previous link, the head with the page number, and the page in each link', async () => {
    const pages = pagesOf(5);
    let link: Buffer = Buffer.alloc(32);
    for (let page = 0; page < 5; page++) link = sha('sha256', link, head(100 + page), pageAt(pages, page));
    for (let page = 0; page < 3; page++) link = sha('sha256', link, head(2 ** 40 + page), new Uint8Array(PAGE_SIZE));
    link = sha('sha256', link, head(9), pageAt(pages, 4));
    const chain = pageChainFor(size);
    try {
      void chain.extend(head(100), 5, pages);
      void chain.extend(head(2 ** 40), 3, undefined);
      await chain.extend(head(9), 1, pageAt(pages, 4));
      expect(same(await chain.end(), link)).toBe(true);
    } finally {
      await chain.close();
    }
  });

  it('ends with its initial value when it is empty', async () => {
    const chain = pageChainFor(size);
    expect(await chain.end()).toEqual(new Uint8Array(32));
    await chain.close();
  });
});

describe('a long chain', () => {
  it('fails at its end when its thread breaks, and not earlier', async () => {
    const chain = pageChainFor(THREAD_THRESHOLD);
    // A head that is too long does not fit in a link.
    await chain.extend(new Uint8Array(2 * PAGE_SIZE), 1, undefined);
    await expect(chain.end()).rejects.toThrow();
    await chain.close();
  });
});

describe('threads that hash', () => {
  it.each([
    ['a pool', () => pageHasherFor(THREAD_THRESHOLD), (it: PageHasher) => it.hash(pagesOf(8))],
    [
      'a chain',
      () => pageChainFor(THREAD_THRESHOLD),
      (it: ReturnType<typeof pageChainFor>) => it.extend(new Uint8Array(48), 1, pagesOf(1)),
    ],
    [
      'digests of all pages',
      () => pageDigestsFor(THREAD_THRESHOLD),
      (it: ReturnType<typeof pageDigestsFor>) => it.add(pagesOf(1)),
    ],
  ] as [string, () => { close(): Promise<void> }, (it: never) => unknown][])(
    'are started with the first pages of %s, so that an earlier failure leaves none behind',
    async (_, make, use) => {
      knownWorkers.length = 0;
      const hasher = make();
      expect(knownWorkers).toHaveLength(0);
      await use(hasher as never);
      expect(knownWorkers.length > 0).toBe(availableParallelism() > 1);
      await hasher.close();
    },
  );
});
