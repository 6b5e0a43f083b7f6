/**
 * Unified kernel images: EFI programs that hold a kernel and everything it needs in their sections (UAPI group, Unified
 * Kernel Image).
 */
import { IgvmError } from '../errors/igvm-error';
import { type ByteSource, regionSource } from '../memory/byte-source';
import { type PeSection, peSectionNames, readPeHeaders } from './pe';

/** The sections in the specification, in its order, except for the stub's own code. */
export const UKI_SECTIONS = [
  '.linux',
  '.osrel',
  '.cmdline',
  '.initrd',
  '.ucode',
  '.splash',
  '.dtb',
  '.dtbauto',
  '.efifw',
  '.hwids',
  '.uname',
  '.sbat',
  '.sbom',
  '.pcrsig',
  '.pcrpkey',
] as const;

export type UkiSectionName = (typeof UKI_SECTIONS)[number];

/** Sections that may occur several times: one for each kind of hardware. */
const SEVERAL: readonly UkiSectionName[] = ['.dtbauto', '.efifw'];
/** The section that begins a profile. The sections after it replace those of the base. The first profile is the default. */
const PROFILE = '.profile';

/** The most bytes of a text. */
const MOST_TEXT = 65536;

/** A section's content, in the file. */
export interface UkiSection {
  name: UkiSectionName;
  /** Bytes from the file's start; 0 for no content. */
  offset: number;
  /** Bytes, without padding. */
  size: number;
}

/** The contents of a UKI. */
export interface Uki {
  /** The sections of the default boot: those of the base and of the first profile, in file order. */
  sections: UkiSection[];
  /** The number of further profiles. */
  profiles: number;
}

/** Whether a file is a UKI: an EFI program with a kernel in a section. It may still be damaged. */
export const isUki = (file: ByteSource): boolean => peSectionNames(file).includes('.linux');

/**
 * The sections of a UKI, as `ukify`, dracut, mkosi or objcopy made it. No content is read.
 * @throws IgvmError EFI_DATA_INVALID for a damaged program, sections that are outside the file or overlap, and a section that occurs
 *   twice; and what the source throws
 */
export function readUki(file: ByteSource): Uki {
  const groups: PeSection[][] = [[]];
  for (const section of readPeHeaders(file).sections) {
    if (section.name === PROFILE) groups.push([]);
    else groups.at(-1)!.push(section);
  }
  const [base = [], first = [], ...others] = groups.map((group) => contentsOf(group, file.size));
  const sections = [...base.filter(({ name }) => first.every((each) => each.name !== name)), ...first];
  let taken = 0;
  let before = '';
  for (const { name, offset, size } of sections.filter((each) => each.size > 0).sort((a, b) => a.offset - b.offset)) {
    if (offset < taken) throw invalid(`its sections ${before} and ${name} overlap`, offset);
    [taken, before] = [offset + size, name];
  }
  return { sections, profiles: others.length };
}

/** The known sections of a base or a profile. */
function contentsOf(group: readonly PeSection[], fileSize: number): UkiSection[] {
  const sections = group.flatMap((section): UkiSection[] => {
    const name = UKI_SECTIONS.find((each) => each === section.name);
    if (name === undefined) return [];
    const size = contentSize(section, fileSize);
    // The offset of an empty section is arbitrary.
    return [{ name, offset: size === 0 ? 0 : section.rawStart, size }];
  });
  for (const name of UKI_SECTIONS) {
    if (SEVERAL.includes(name)) continue;
    if (sections.filter((each) => each.name === name).length > 1) throw invalid(`it has the section ${name} twice`);
  }
  return sections;
}

/** The size of a section without its padding. A kernel's section may state more memory than it has bytes. */
function contentSize({ name, virtualSize, rawSize, rawStart }: PeSection, fileSize: number): number {
  const size = virtualSize === 0 ? rawSize : Math.min(virtualSize, rawSize);
  if (size > 0 && rawStart + size > fileSize) throw invalid(`its section ${name} lies outside the file`, rawStart);
  return size;
}

/** The content of a section, as a region of the file; undefined if there is no such section. */
export function ukiSection(file: ByteSource, uki: Uki, name: UkiSectionName): ByteSource | undefined {
  const section = uki.sections.find((each) => each.name === name);
  return section && regionSource(file, section.offset, section.size);
}

/** Sections that hold text. */
const TEXTS: readonly UkiSectionName[] = ['.cmdline', '.osrel', '.uname'];

/**
 * The text of a section, up to a NUL and without surrounding blanks; undefined for a section without text, or with too much. It must
 * be made printable before it is shown.
 */
export function ukiText(file: ByteSource, { name, offset, size }: UkiSection): string | undefined {
  if (!TEXTS.includes(name) || size > MOST_TEXT) return undefined;
  const bytes = new Uint8Array(size);
  file.read(offset, bytes);
  const end = bytes.indexOf(0);
  const text = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
  return name === '.osrel' ? productName(text) : text.trim();
}

/** The name of the system in an os-release file (freedesktop.org: os-release). */
function productName(text: string): string {
  const value = (key: string): string | undefined =>
    new RegExp(`^${key}=(?:"([^"]*)"|'([^']*)'|(\\S*))\\s*$`, 'm')
      .exec(text)
      ?.slice(1)
      .find((each) => each !== undefined);
  return value('PRETTY_NAME') ?? value('NAME') ?? value('ID') ?? '';
}

const invalid = (why: string, offset?: number): IgvmError =>
  new IgvmError(
    'EFI_DATA_INVALID',
    `the unified kernel image (UKI) is damaged: ${why}`,
    offset === undefined ? {} : { offset },
  );
