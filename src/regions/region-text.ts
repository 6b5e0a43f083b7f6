import { type GuestRegion, readPages, storedEnd } from './guest-regions';

/** A command line has at most a page. */
const TEXT_BYTES = 4096;

/** Shorter text is as likely to be chance. */
const LEAST_TEXT = 6;

/** The first bytes of a region, up to a page; undefined when it begins with nothing but zeros, or has no data. */
export function firstBytes({ spans }: Pick<GuestRegion, 'spans'>): Uint8Array | undefined {
  const [first] = spans;
  if (first === undefined || storedEnd(first.run) <= first.gpa) return undefined;
  const bytes = new Uint8Array(Math.min(TEXT_BYTES, first.end - first.gpa));
  readPages(first.run, first.gpa, bytes);
  return bytes.every((byte) => byte === 0) ? undefined : bytes;
}

/** Text up to a NUL character. Not of ASCII alone: a kernel's command line may name anything. */
export function textAtStart(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  if (end < LEAST_TEXT) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end));
    return /[^\P{Cc}\t\n\r]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The longest line of printable ASCII. OpenHCL's command lines stand behind a length. */
export function textWithin(bytes: Uint8Array): string | undefined {
  const lines =
    Buffer.from(bytes)
      .toString('latin1')
      .match(/[\x20-\x7e]+/g) ?? [];
  const longest = lines.reduce((best, line) => (line.length > best.length ? line : best), '');
  return longest.length < LEAST_TEXT ? undefined : longest;
}

/** Whether a region holds a command line, by the names that map files give it. */
export const isCommandLine = ({ tags }: Pick<GuestRegion, 'tags'>): boolean =>
  tags.some((tag) => /command-?line|cmdline/i.test(tag));

/** The text of a region that holds some; undefined where there is none. */
export function textOfRegion(region: Pick<GuestRegion, 'spans'>): string | undefined {
  const bytes = firstBytes(region);
  return bytes && (textAtStart(bytes) ?? textWithin(bytes));
}
