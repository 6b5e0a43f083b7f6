import { hexOf } from '../igvm/dump';
import { firstBytes, type GuestRegion, textAtStart } from '../regions/guest-regions';

/** The first bytes of a region. */
export interface Preview {
  /** Rows of 8 bytes: hexadecimal, and the printable ones as characters. */
  rows: { hex: string; characters: string }[];
  /** The text that the region begins with, when it is one: a command line, for example. */
  text?: string;
}

const ROW = 8;
const PREVIEW_BYTES = 64;

/** Looks into a region; undefined when it holds nothing but zeros, or no data. */
export function previewOf(region: Pick<GuestRegion, 'spans'>): Preview | undefined {
  const bytes = firstBytes(region);
  if (bytes === undefined) return undefined;
  const rows = Array.from({ length: PREVIEW_BYTES / ROW }, (_, index) =>
    rowOf(bytes.subarray(ROW * index, ROW * (index + 1))),
  );
  const text = textAtStart(bytes);
  return { rows, ...(text === undefined ? {} : { text }) };
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

function rowOf(bytes: Uint8Array): Preview['rows'][number] {
  const hex = hexOf(bytes).replaceAll(/../g, '$& ').trimEnd();
  const characters = Array.from(bytes, (byte) => (isPrintable(byte) ? String.fromCharCode(byte) : '·')).join('');
  return { hex, characters };
}
