import { setTimeout } from 'node:timers/promises';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { patternPage, runOf } from './igvm-file.fixture';
import type { Directive } from './model';
import { type DirectiveObserver, streamDirectives } from './stream';

/** The number of pages that are read in one chunk. */
const CHUNK_PAGES = 512;

/** A run of pages whose first byte is their number, from `first` on. */
const numbered = (gpa: number, count: number, first = 0): Directive => {
  const bytes = new Uint8Array(count * PAGE_SIZE);
  for (let page = 0; page < count; page++) bytes[page * PAGE_SIZE] = first + page;
  return runOf(gpa, bytes);
};
const required: Directive = {
  type: 'requiredMemory',
  gpa: 0,
  compatibilityMask: 1,
  size: 4096,
  vtl2Protectable: false,
};

describe('streamDirectives', () => {
  it('shows directives and pages in file order, in padded chunks, with empty pages separate', async () => {
    const seen: unknown[] = [];
    const partial = runOf(0x5000, patternPage(1).subarray(0, 10), { pageCount: 3 });
    await streamDirectives(
      { directives: [numbered(0, CHUNK_PAGES + 2), required, partial, runOf(0x9000, new Uint8Array(0))] },
      [
        {
          directive: ({ type }) => void seen.push(type),
          pages: (run, first, count, bytes) =>
            void seen.push([run.gpa, first, count, bytes && [bytes.length, bytes[0]]]),
        },
        {
          pages: (run, first, _, bytes) => {
            if (run === partial && first === 0) seen.push(bytes?.slice(8, 12));
          },
        },
      ],
    );
    expect(seen).toEqual([
      [0, 0, CHUNK_PAGES, [CHUNK_PAGES * PAGE_SIZE, 0]],
      [0, CHUNK_PAGES, 2, [2 * PAGE_SIZE, 0]],
      'requiredMemory',
      [0x5000, 0, 1, [PAGE_SIZE, 131]],
      Uint8Array.of(...patternPage(1).subarray(8, 10), 0, 0),
      [0x5000, 1, 2, undefined],
      [0x9000, 0, 1, undefined],
    ]);
  });

  it('calls an observer again only when its promise has settled, and keeps the bytes until then', async () => {
    const events: string[] = [];
    let isBusy = false;
    const slow: DirectiveObserver = {
      async directive() {
        expect(isBusy).toBe(false);
        events.push('directive');
      },
      async pages(_run, first, _count, bytes) {
        expect(isBusy).toBe(false);
        isBusy = true;
        const before = bytes?.[0];
        await setTimeout(2);
        expect(bytes?.[0]).toBe(before);
        isBusy = false;
        events.push(`pages ${first}`);
      },
    };
    const directives = Array.from({ length: 10 }, (_, index) => [numbered(index * 2 ** 20, 2, index), required]).flat();
    await streamDirectives({ directives }, [slow, { pages: () => undefined }]);
    expect(events).toEqual(directives.map((directive) => (directive === required ? 'directive' : 'pages 0')));
  });

  it('lets an observer with overlapping page calls go on, but not past a directive that it still handles', async () => {
    const events: string[] = [];
    let seeLast: () => void = () => undefined;
    const lastSeen = new Promise<void>((resolve) => (seeLast = resolve));
    const writer: DirectiveObserver = {
      pagesOverlap: true,
      async directive() {
        events.push('directive begins');
        await setTimeout(2);
        events.push('directive ends');
      },
      pages(run) {
        events.push(`pages ${run.gpa}`);
        // After the directive, too, no call waits for another.
        if (run.gpa === 2) seeLast();
        return lastSeen.then(() => void events.push('written'));
      },
    };
    await streamDirectives({ directives: [numbered(0, 1), required, numbered(1, 1), numbered(2, 1)] }, [writer]);
    const begun = ['pages 0', 'directive begins', 'directive ends', 'pages 1', 'pages 2'];
    expect(events).toEqual([...begun, 'written', 'written', 'written']);
  });

  it('reads at most three chunks ahead of an observer that is slow', async () => {
    let read = 0;
    const content = { size: 10 * CHUNK_PAGES * PAGE_SIZE, read: () => void read++ };
    let ahead = 0;
    let seen = 0;
    const slow: DirectiveObserver = {
      pagesOverlap: true,
      async pages() {
        await setTimeout(2);
        ahead = Math.max(ahead, read - seen);
        seen++;
      },
    };
    await streamDirectives({ directives: [runOf(0, content)] }, [slow]);
    expect([read, seen, ahead]).toEqual([10, 10, 3]);
  });

  it('waits when more than 64 calls of an observer are pending', async () => {
    let begun = 0;
    let waits: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (waits = resolve));
    const slow: DirectiveObserver = { directive: () => first };
    const quick: DirectiveObserver = { directive: () => void begun++ };
    const streamed = streamDirectives({ directives: Array.from({ length: 200 }, () => required) }, [slow, quick]);
    await setTimeout(5);
    expect(begun).toBe(65);
    waits();
    await streamed;
    expect(begun).toBe(200);
  });

  it('shows bytes that threads can share, where shared memory is available', async () => {
    const memory: unknown[] = [];
    const observer: DirectiveObserver = { pages: (_, __, ___, bytes) => void memory.push(bytes?.buffer.constructor) };
    await streamDirectives({ directives: [numbered(0, 1)] }, [observer]);
    const shared = globalThis.SharedArrayBuffer;
    try {
      Object.assign(globalThis, { SharedArrayBuffer: undefined });
      await streamDirectives({ directives: [numbered(0, 1)] }, [observer]);
    } finally {
      Object.assign(globalThis, { SharedArrayBuffer: shared });
    }
    expect(memory).toEqual([SharedArrayBuffer, ArrayBuffer]);
  });

  it('makes a late content ready when everything before it has been seen', async () => {
    const events: string[] = [];
    const late = { ...bytesSource(patternPage(1)), ready: async () => void events.push('ready') };
    await streamDirectives({ directives: [numbered(0, 3), runOf(0x10000, late)] }, [
      {
        pages: async (run) => {
          await setTimeout(2);
          events.push(`seen ${run.gpa}`);
        },
      },
    ]);
    expect(events).toEqual(['seen 0', 'ready', 'seen 65536']);
  });

  const failing: [when: string, observer: DirectiveObserver][] = [
    [
      'at once',
      {
        pages: () => {
          throw new Error('broken');
        },
      },
    ],
    [
      'later',
      {
        pages: async () => {
          await setTimeout(1);
          throw new Error('broken');
        },
      },
    ],
    [
      'in a directive',
      {
        directive: async () => {
          throw new Error('broken');
        },
      },
    ],
  ];
  it.each(failing)('fails when an observer fails %s, after all others are done', async (_when, observer) => {
    let pending = 0;
    let calls = 0;
    const other: DirectiveObserver = {
      pages: async () => {
        pending++;
        calls++;
        await setTimeout(5);
        pending--;
      },
    };
    const directives = [required, ...Array.from({ length: 50 }, (_, index) => numbered(index * 2 ** 20, CHUNK_PAGES))];
    await expect(streamDirectives({ directives }, [other, observer])).rejects.toThrow('broken');
    expect(pending).toBe(0);
    expect(calls).toBeLessThan(50);
  });

  it('does not call an observer again after it has failed', async () => {
    let calls = 0;
    const observer: DirectiveObserver = {
      directive: async () => {
        calls++;
        throw new Error('broken');
      },
    };
    await expect(streamDirectives({ directives: [required, required] }, [observer])).rejects.toThrow('broken');
    expect(calls).toBe(1);
  });

  it('accepts an observer of only pages or only directives', async () => {
    const seen: string[] = [];
    const partial = runOf(0, patternPage(1), { pageCount: 2 });
    await streamDirectives({ directives: [required, partial] }, [
      { directive: ({ type }) => void seen.push(type) },
      { pages: (_, first) => void seen.push(`page ${first}`) },
    ]);
    expect(seen).toEqual(['requiredMemory', 'page 0', 'page 1']);
  });

  it('fails when a source fails', async () => {
    const broken = {
      size: PAGE_SIZE,
      read: () => {
        throw new Error('unreadable');
      },
    };
    await expect(streamDirectives({ directives: [runOf(0, broken)] }, [])).rejects.toThrow('unreadable');
  });
});
