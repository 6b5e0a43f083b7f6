import { PAGE_SIZE } from '../memory/page';
import type { Sha256Hex } from './hashes';

/** Bytes that were stored earlier, by their offset in the file. */
export interface StoredBytes {
  /** End of what is stored, exclusive. */
  readonly end: number;
  read(offset: number, target: Uint8Array): void;
}

const WORDS_PER_PAGE = PAGE_SIZE / 4;

/** A file holds less than 4 GiB, hence at most this many distinct pages. */
const MOST_PAGES = 2 ** 32 / PAGE_SIZE;

/** Words that are added to a key in one step. */
const LANES = 4;

/** The first key covers 16 of every 128 bytes. */
const SAMPLE_STEP = 32;

/** Most pages with one key that are compared one by one. With more, someone is attacking the key. */
const BUCKET_LIMIT = 16;

/** Bytes that are read back at once when consecutive pages turn out to be stored already. */
const READ_BACK = 64 * 1024;

const randomWord = (): number => Math.floor(Math.random() * 2 ** 32);

/**
 * Where each distinct page is stored: exact deduplication in 16 to 64 bytes per page. A page is looked up by a 32-bit
 * key and then compared byte by byte with the stored one. The first key covers a sample of the bytes, as nearly all
 * pages differ there. If too many pages share a key, they move to a key of all bytes, and from there, if someone
 * attacks that key, to SHA-256. Keys are mixed with random numbers. This doesn't change the result, but keeps an
 * attacker from preparing pages with equal keys.
 */
export class PageIndex {
  private readonly seed = randomWord();
  private readonly tables: readonly KeyTable[];
  private readonly bySha256 = new Map<string, number>();
  private readonly window: ReadBackWindow;
  private zeroOffset = 0;

  /** @param pageLimit most pages that will be placed */
  constructor(
    pageLimit: number,
    private readonly stored: StoredBytes,
    private readonly sha256Hex: Sha256Hex,
  ) {
    this.tables = [SAMPLE_STEP, LANES].map((step) => new KeyTable(pageLimit, step));
    this.window = new ReadBackWindow(stored);
  }

  /**
   * The offset of a stored page that equals the one at `words[at…]`; 0 if there is none. In that case the page counts
   * as stored at `next`: the caller has to store it there before the next lookup.
   */
  place(words: Uint32Array, at: number, next: number): number {
    if (isZero(words, at)) {
      const offset = this.zeroOffset;
      if (offset === 0) this.zeroOffset = next;
      return offset;
    }
    return this.placeFrom(0, words, at, next);
  }

  private placeFrom(level: number, words: Uint32Array, at: number, next: number): number {
    const table = this.tables[level];
    if (table === undefined) return this.placeBySha256(words, at, next);
    const key = pageKey(words, at, table.step, this.seed);
    if (table.crowded.size > 0 && table.crowded.has(key)) return this.placeFrom(level + 1, words, at, next);
    let sameKey = 0;
    let slot = table.first(key);
    for (; table.offsets[slot] !== 0; slot = table.following(slot)) {
      if (table.keys[slot] !== key) continue;
      const offset = table.offsets[slot] as number;
      if (this.window.equals(offset, words, at)) return offset;
      if (++sameKey === BUCKET_LIMIT) {
        table.crowded.add(key);
        this.moveUp(level, key);
        return this.placeFrom(level + 1, words, at, next);
      }
    }
    table.keys[slot] = key;
    table.offsets[slot] = next;
    return 0;
  }

  private placeBySha256(words: Uint32Array, at: number, next: number): number {
    const digest = this.sha256Hex(new Uint8Array(words.buffer, words.byteOffset + 4 * at, PAGE_SIZE));
    const offset = this.bySha256.get(digest);
    if (offset !== undefined) return offset;
    this.bySha256.set(digest, next);
    return 0;
  }

  /** Adds the pages of a key to the next level. */
  private moveUp(level: number, key: number): void {
    const table = this.tables[level] as KeyTable;
    const page = new Uint32Array(WORDS_PER_PAGE);
    for (let slot = table.first(key); table.offsets[slot] !== 0; slot = table.following(slot)) {
      if (table.keys[slot] !== key) continue;
      this.stored.read(table.offsets[slot] as number, new Uint8Array(page.buffer));
      this.placeFrom(level + 1, page, 0, table.offsets[slot] as number);
    }
  }
}

/** Offsets by key, in open addressing. A second table costs only address space until it is used. */
class KeyTable {
  readonly keys: Uint32Array;
  /** 0: the slot is free. */
  readonly offsets: Uint32Array;
  /** Keys whose pages are found at the next level. */
  readonly crowded = new Set<number>();
  private readonly shift: number;
  private readonly spread = randomWord() | 1;

  constructor(
    pageLimit: number,
    readonly step: number,
  ) {
    const bits = Math.max(4, Math.ceil(Math.log2(2 * Math.min(pageLimit, MOST_PAGES) + 1)));
    this.keys = new Uint32Array(2 ** bits);
    this.offsets = new Uint32Array(2 ** bits);
    this.shift = 32 - bits;
  }

  first(key: number): number {
    return Math.imul(key, this.spread) >>> this.shift;
  }

  following(slot: number): number {
    return (slot + 1) & (this.keys.length - 1);
  }
}

/** Reads stored pages back for comparison, several at once when consecutive pages are requested. */
class ReadBackWindow {
  private readonly words = new Uint32Array(READ_BACK / 4);
  private start = 0;
  private end = 0;
  private lastEqual = 0;

  constructor(private readonly stored: StoredBytes) {}

  equals(offset: number, words: Uint32Array, at: number): boolean {
    const isHeld = offset >= this.start && offset + PAGE_SIZE <= this.end && (offset - this.start) % 4 === 0;
    if (!isHeld) {
      const size = offset === this.lastEqual + PAGE_SIZE ? READ_BACK : PAGE_SIZE;
      this.end = Math.min(offset + size, this.stored.end);
      this.start = offset;
      this.stored.read(offset, new Uint8Array(this.words.buffer, 0, this.end - offset));
    }
    const first = (offset - this.start) / 4;
    for (let index = 0; index < WORDS_PER_PAGE; index++) {
      if (this.words[first + index] !== words[at + index]) return false;
    }
    this.lastEqual = offset;
    return true;
  }
}

/**
 * A key of four words in every `step`. The processor can work on the four lanes in parallel; the rotation spreads every
 * bit to all others.
 */
function pageKey(words: Uint32Array, at: number, step: number, seed: number): number {
  let a = seed;
  let b = ~seed;
  let c = seed ^ 0x165667b1;
  let d = seed ^ 0x27d4eb2f;
  for (let index = at, end = at + WORDS_PER_PAGE; index < end; index += step) {
    a = Math.imul(a ^ (words[index] as number), 0x9e3779b1);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ (words[index + 1] as number), 0x85ebca77);
    b = (b << 13) | (b >>> 19);
    c = Math.imul(c ^ (words[index + 2] as number), 0xc2b2ae3d);
    c = (c << 13) | (c >>> 19);
    d = Math.imul(d ^ (words[index + 3] as number), 0x27d4eb2f);
    d = (d << 13) | (d >>> 19);
  }
  return (Math.imul(a ^ (b >>> 7), 0x9e3779b1) ^ Math.imul(c ^ (d >>> 11), 0x85ebca77)) >>> 0;
}

function isZero(words: Uint32Array, at: number): boolean {
  for (let index = at, end = at + WORDS_PER_PAGE; index < end; index++) if (words[index] !== 0) return false;
  return true;
}
