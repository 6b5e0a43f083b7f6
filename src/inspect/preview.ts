import { readPages, storedEnd } from '../regions/guest-pages';
import { hexOf } from '../igvm/dump-json';
import type { GuestRegion } from '../regions/guest-regions';

/** The first bytes of a region. */
export interface Preview {
  /** Rows of 8 bytes: hexadecimal, and the printable ones as characters. */
  rows: { hex: string; characters: string }[];
  /** The text that the region begins with, when it is one: a command line, for example. */
  text?: string;
}

const ROW = 8;
const PREVIEW_BYTES = 64;

/** A command line has at most a page. */
const TEXT_BYTES = 4096;

/** Shorter text is as likely to be chance. */
const LEAST_TEXT = 6;

/**
 * Looks into a region; undefined when it holds nothing but zeros, or no data.
 * @param isText it is known to hold text, which then need not be at its start: OpenHCL's command lines stand behind a length
 */
export function previewOf({ spans }: Pick<GuestRegion, 'spans'>, isText = false): Preview | undefined {
  const [first] = spans;
  if (first === undefined || storedEnd(first.run) <= first.gpa) return undefined;
  const bytes = new Uint8Array(Math.min(TEXT_BYTES, first.end - first.gpa));
  readPages(first.run, first.gpa, bytes);
  if (bytes.every((byte) => byte === 0)) return undefined;
  const rows = Array.from({ length: PREVIEW_BYTES / ROW }, (_, index) =>
    rowOf(bytes.subarray(ROW * index, ROW * (index + 1))),
  );
  const text = textAtStart(bytes) ?? (isText ? textWithin(bytes) : undefined);
  return { rows, ...(text === undefined ? {} : { text }) };
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

function rowOf(bytes: Uint8Array): Preview['rows'][number] {
  const hex = hexOf(bytes).replaceAll(/../g, '$& ').trimEnd();
  const characters = Array.from(bytes, (byte) => (isPrintable(byte) ? String.fromCharCode(byte) : '·')).join('');
  return { hex, characters };
}

/** Text up to a NUL character. Not of ASCII alone: a kernel's command line may name anything. */
function textAtStart(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  if (end < LEAST_TEXT) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end));
    return /[^\P{Cc}\t\n\r]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The longest line of printable ASCII. */
function textWithin(bytes: Uint8Array): string | undefined {
  const lines =
    Buffer.from(bytes)
      .toString('latin1')
      .match(/[\x20-\x7e]+/g) ?? [];
  const longest = lines.reduce((best, line) => (line.length > best.length ? line : best), '');
  return longest.length < LEAST_TEXT ? undefined : longest;
}
