import { IgvmError } from '../errors/igvm-error';
import { type IgvmFile, PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { parseMap, type TaggedRange } from './map-tags';

/** What a map file calls a guest's isolation, and the platforms that such a guest can be on. */
const ISOLATIONS: Readonly<Record<string, readonly PlatformType[]>> = {
  None: [PLATFORM_TYPE.NATIVE, PLATFORM_TYPE.VSM_ISOLATION],
  Vbs: [PLATFORM_TYPE.VSM_ISOLATION],
  Snp: [PLATFORM_TYPE.SEV_SNP],
  Tdx: [PLATFORM_TYPE.TDX],
};

const ISOLATION = /^IGVM file isolation: (\w+)/gm;

/**
 * The names of a map file that was given for an image, rather than found beside it: whatever doesn't fit is an error (openvmm
 * igvminspect, extract).
 * @param display the map file's name in messages
 * @returns named ranges a guest, in the order of the image's platform headers
 * @throws IgvmError MAP_INVALID
 */
export function parseMapFor(text: string, file: IgvmFile, display: string): TaggedRange[][] {
  const isolations = [...text.matchAll(ISOLATION)].map(([, isolation = '']) => isolation);
  const guests = parseMap(text);
  const wrong = (what: string): IgvmError => new IgvmError('MAP_INVALID', what, { file: display });
  if (isolations.length === 0) throw wrong('is no map file: it has no line "IGVM file isolation: …"');
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
    if (gpa < taken) throw wrong(`${place} overlaps what is named before it`);
    taken = end;
  }
  return ranges;
}
