/** The names and facts that follow from the content of an OVMF image: regions, measured parts, sections of UKIs. */
import { createHash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import { sha256OfSource } from '../files/hashes';
import type { IgvmFile, PageDataDirective } from '../igvm/model';
import { pageOverlaps } from '../igvm/page-overlaps';
import type { DirectiveObserver } from '../igvm/stream';
import { measuredParts, measuredText, type OvmfParts, ovmfParts, ovmfRegionNames } from '../loader/ovmf/contents';
import { putIn } from '../loader/ovmf/update';
import { type ByteSource, regionSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { firstEndingAfter, guestMemory } from '../regions/guest-pages';
import { guestRegions } from '../regions/guest-regions';
import { mapBeside, type TaggedRange } from '../regions/image-map';
import { isUki, readUki, ukiText } from '../uki/uki';
import { FactList, type Facts } from './guest-facts';

/**
 * The names of an image's regions, from the map file beside it. OVMF images from `wrap` and `update` have no map; their names follow
 * from the content. One list for each guest, in the order of the platform headers.
 */
export const regionNames = (image: string, file: IgvmFile): TaggedRange[][] | undefined =>
  mapBeside(image) ?? ovmfNames(file);

/** Which parts of an OVMF image a launch measurement covers, and which it doesn't; undefined for any other image. */
export function ovmfMeasured(file: IgvmFile): string | undefined {
  return ofOvmf(file, (parts) => measuredText(measuredParts(file, parts)));
}

/** The names of all memory in OVMF guests. Undefined for other images, and for one that can't be parsed, because names are optional. */
const ovmfNames = (file: IgvmFile): TaggedRange[][] | undefined =>
  ofOvmf(file, (parts) => {
    const names = ovmfRegionNames(parts);
    return file.platforms.map(({ compatibilityMask }) =>
      guestRegions(file, compatibilityMask, names).map(({ gpa, end, kind, tags }) => ({
        gpa,
        end,
        tag: tags[0] ?? (kind === 'vpContext' ? 'vp-context-page' : 'ovmf-memory'),
      })),
    );
  });

function ofOvmf<T>(file: IgvmFile, tell: (parts: OvmfParts) => T): T | undefined {
  try {
    const parts = ovmfParts(file);
    return parts && tell(parts);
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}

/**
 * Facts about the sections of the UKIs in an OVMF image: a text, or the size and SHA-256. Empty for other images and for a damaged UKI,
 * whose pages are still compared and shown. Reads the programs.
 * @throws IgvmError FILE_CHANGED, FILE_UNREADABLE from the file's sources
 */
export const ukiFacts = (file: IgvmFile): Facts => new UkiSections(file).facts();

/**
 * The same as {@link ukiFacts} during a pass over the image's pages: sections are hashed while their pages stream by. Only headers and
 * texts are read before. A section whose pages have another order in the file is read afterwards.
 */
export class UkiSections implements DirectiveObserver {
  private readonly list: { what: string; value: string | SectionDigest }[] = [];
  /** By address; the sections of a program never overlap. */
  private readonly digests: SectionDigest[];
  private readonly mask: number;

  /** @throws IgvmError FILE_CHANGED, FILE_UNREADABLE from the file's sources */
  constructor(file: IgvmFile) {
    this.mask = file.platforms[0]?.compatibilityMask ?? 0;
    for (const { name, address, content } of programsIn(file, this.mask)) {
      if (!isUki(content)) continue;
      const uki = readable(() => readUki(content));
      for (const section of uki?.sections ?? []) {
        const text = ukiText(content, section);
        const part = regionSource(content, section.offset, section.size);
        const value = text === undefined || text === '' ? new SectionDigest(address + section.offset, part) : text;
        this.list.push({ what: `${name === 'shim' ? 'shim ' : ''}UKI ${section.name}`, value });
      }
      if (uki !== undefined && uki.profiles > 0) {
        this.list.push({ what: 'UKI further profiles', value: String(uki.profiles) });
      }
    }
    const digests = this.list.flatMap(({ value }) => (typeof value === 'string' ? [] : [value]));
    // If pages overlap, a page alone doesn't show whether it is the one that counts.
    const isPlain = digests.length > 0 && pageOverlaps(file, this.mask).length === 0;
    this.digests = isPlain ? digests.sort((a, b) => a.gpa - b.gpa) : [];
  }

  pages(run: PageDataDirective, firstPage: number, _pageCount: number, bytes: Uint8Array | undefined): void {
    if (bytes === undefined || (run.compatibilityMask & this.mask) === 0) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    for (let at = firstEndingAfter(this.digests, gpa); at < this.digests.length; at++) {
      const digest = this.digests[at]!;
      if (digest.gpa >= gpa + bytes.length) return;
      digest.add(gpa, bytes);
    }
  }

  /** Call it once, after all pages. @throws as the constructor does */
  facts(): Facts {
    const facts = new FactList();
    for (const { what, value } of this.list) {
      facts.add(what, typeof value === 'string' ? value : `${value.size} bytes, SHA-256 ${value.sha256()}`);
    }
    return facts.facts;
  }
}

/** The SHA-256 of a range of addresses, from pages that arrive by ascending address. If they don't, the bytes are read again. */
class SectionDigest {
  private readonly hash = createHash('sha256');
  /** Bytes hashed so far. */
  private done = 0;

  constructor(
    readonly gpa: number,
    private readonly content: ByteSource,
  ) {}

  get size(): number {
    return this.content.size;
  }

  get end(): number {
    return this.gpa + this.size;
  }

  add(gpa: number, bytes: Uint8Array): void {
    const from = this.gpa + this.done - gpa;
    if (from < 0 || from >= bytes.length) return;
    const part = bytes.subarray(from, from + this.size - this.done);
    this.hash.update(part);
    this.done += part.length;
  }

  sha256(): string {
    return this.done === this.size ? this.hash.digest('hex') : sha256OfSource(this.content);
  }
}

/** The programs that `update` has added, as they are in memory. */
function programsIn(file: IgvmFile, mask: number): { name: 'shim' | 'kernel'; address: number; content: ByteSource }[] {
  const items = readable(() => putIn(file).items) ?? [];
  return items.flatMap(({ name, address, size }) =>
    name === 'shim' || name === 'kernel' ? [{ name, address, content: guestMemory(file, mask, address, size) }] : [],
  );
}

/** Undefined if the content can't be parsed. A file that can't be read is still an error. */
function readable<T>(tell: () => T): T | undefined {
  try {
    return tell();
  } catch (error) {
    if (error instanceof IgvmError && !error.code.startsWith('FILE_')) return undefined;
    throw error;
  }
}
