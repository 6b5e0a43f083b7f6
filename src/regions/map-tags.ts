/** A named range of a guest's memory, from a map file. Addresses in bytes, end exclusive. */
export interface TaggedRange {
  gpa: number;
  end: number;
  tag: string;
}

/** Lines of the layout part: start, end, size, tag. */
const RANGE = /^ {2}([0-9a-f]{16}) - ([0-9a-f]{16}) \(0x[0-9a-f]+ bytes\) (.*)$/;

/**
 * Reads what a `.map` file calls the parts of its guests: one list a guest, in the order of the image's platform headers, each by
 * ascending address. Lines that are not understood are passed over: a map only names things.
 */
export function parseMap(text: string): TaggedRange[][] {
  const guests: TaggedRange[][] = [];
  let isLayout = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('IGVM file isolation:')) guests.push([]);
    if (!line.startsWith(' ')) isLayout = line === 'IGVM file layout:';
    const match = isLayout ? RANGE.exec(line) : null;
    if (match === null) continue;
    const [, start = '', end = '', tag = ''] = match;
    guests.at(-1)?.push({ gpa: Number.parseInt(start, 16), end: Number.parseInt(end, 16), tag });
  }
  for (const ranges of guests) ranges.sort((a, b) => a.gpa - b.gpa);
  return guests;
}
