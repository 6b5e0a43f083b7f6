import { lstatSync } from 'node:fs';
import { IgvmError } from '../errors/igvm-error';
import { readRegularFile } from '../files/regular-file';
import { type IgvmFile, PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { firstEndingAfter } from './guest-pages';

/** A named range of a guest's memory, from a map file. Addresses in bytes, end exclusive. */
export interface TaggedRange {
  gpa: number;
  end: number;
  tag: string;
}

/** Lines of the layout part: start, end, size, tag. */
const RANGE = /^ {2}([0-9a-f]{16}) - ([0-9a-f]{16}) \(0x[0-9a-f]+ bytes\) (.*)$/;

/**
 * Reads the names in a `.map` file: one list per guest, in the order of the image's platform headers, each by ascending
 * address. Unknown lines are skipped: a map only adds names.
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

/** Names by address. A map file may come from anyone: if its ranges overlap, the first one counts. */
export class TagIndex {
  private readonly ranges: TaggedRange[] = [];

  /** @param tags by ascending address */
  constructor(tags: readonly TaggedRange[]) {
    let taken = 0;
    for (const { gpa, end, tag } of tags) {
      const start = Math.max(gpa, taken);
      if (start >= end) continue;
      this.ranges.push({ gpa: start, end, tag });
      taken = end;
    }
  }

  /** The name at an address, if there is one, and the address up to which the answer is the same. */
  at(gpa: number): { tag?: string; until: number } {
    const range = this.ranges[firstEndingAfter(this.ranges, gpa)];
    if (range === undefined) return { until: Number.POSITIVE_INFINITY };
    // Results change only between pages: a range that ends inside a page doesn't split the page.
    const whole = (address: number): number => Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
    return range.gpa <= gpa ? { tag: range.tag, until: whole(range.end) } : { until: whole(range.gpa) };
  }

  /** The names in `[gpa, end)` by ascending address, without repetition. */
  within(gpa: number, end: number): Set<string> {
    const tags = new Set<string>();
    for (let index = firstEndingAfter(this.ranges, gpa); index < this.ranges.length; index++) {
      const range = this.ranges[index];
      if (range === undefined || range.gpa >= end) break;
      tags.add(range.tag);
    }
    return tags;
  }
}

/** The names of isolation types in map files, and the platforms that such guests can have. */
const ISOLATIONS: Readonly<Record<string, readonly PlatformType[]>> = {
  None: [PLATFORM_TYPE.NATIVE, PLATFORM_TYPE.VSM_ISOLATION],
  Vbs: [PLATFORM_TYPE.VSM_ISOLATION],
  Snp: [PLATFORM_TYPE.SEV_SNP],
  Tdx: [PLATFORM_TYPE.TDX],
};

const ISOLATION = /^IGVM file isolation: (\w+)/gm;

/**
 * The names in a map file that was given for an image, rather than found beside it: any mismatch is an error (openvmm
 * igvminspect, extract).
 * @param display the map file's name in messages
 * @returns named ranges per guest, in the order of the image's platform headers
 * @throws IgvmError MAP_INVALID
 */
export function parseMapFor(text: string, file: IgvmFile, display: string): TaggedRange[][] {
  const isolations = [...text.matchAll(ISOLATION)].map(([, isolation = '']) => isolation);
  const guests = parseMap(text);
  const wrong = (what: string): IgvmError => new IgvmError('MAP_INVALID', what, { file: display });
  if (isolations.length === 0) throw wrong('is not a map file: it has no line "IGVM file isolation: …"');
  const names: TaggedRange[][] = file.platforms.map(() => []);
  const taken = new Set<number>();
  for (const [index, isolation] of isolations.entries()) {
    const types = Object.hasOwn(ISOLATIONS, isolation) ? (ISOLATIONS[isolation] ?? []) : [];
    const platform = file.platforms.findIndex(
      ({ platformType }, place) => types.includes(platformType) && !taken.has(place),
    );
    if (platform === -1) throw wrong(`describes a guest with isolation ${isolation}, which the image doesn't have`);
    taken.add(platform);
    names[platform] = checked(guests[index] ?? [], wrong);
  }
  return names;
}

function checked(ranges: TaggedRange[], wrong: (what: string) => IgvmError): TaggedRange[] {
  let taken = 0;
  for (const { gpa, end, tag } of ranges) {
    const place = `"${tag}" at 0x${gpa.toString(16)}-0x${end.toString(16)}`;
    if (end <= gpa) throw wrong(`${place} has no pages`);
    if (gpa % PAGE_SIZE !== 0 || end % PAGE_SIZE !== 0) throw wrong(`${place} isn't made of whole pages`);
    if (gpa < taken) throw wrong(`${place} overlaps an earlier range`);
    taken = end;
  }
  return ranges;
}

/** Far more than any map file has, with its one line per region. */
const MAP_SIZE_LIMIT = 16 * 2 ** 20;

/** The names in the map file beside an image. They are optional: without a readable map file there are none. */
export function mapBeside(image: string): TaggedRange[][] | undefined {
  const path = `${image}.map`;
  try {
    if (!lstatSync(path).isFile()) return undefined;
    return parseMap(readRegularFile(path, { limit: MAP_SIZE_LIMIT }).toString());
  } catch {
    return undefined;
  }
}
