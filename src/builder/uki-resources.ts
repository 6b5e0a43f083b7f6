/** Linux resources whose file is a unified kernel image (UKI): each stands for one section of it. */
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import type { FileSource } from '../files/file-source';
import { isBzImage } from '../loader/formats/bzimage';
import type { ResourceName } from '../manifest/model';
import { type ByteSource, regionSource } from '../memory/byte-source';
import { isUki, readUki, type Uki, type UkiSectionName, ukiText } from '../uki/uki';

/** The section of a UKI that a resource stands for. */
const SECTION_OF: Readonly<Partial<Record<ResourceName, UkiSectionName>>> = {
  linux_kernel: '.linux',
  linux_initrd: '.initrd',
  linux_command_line: '.cmdline',
};

/** Larger files are no command lines. Bytes. */
const MOST_TEXT = 65536;

/** A section of a UKI in place of the whole file. */
export interface UkiResource {
  content: FileSource;
  /** Offset of the section in the file. */
  start: number;
}

/**
 * The section for a resource whose file is a UKI; undefined for other files.
 * @param display the file's name in messages
 * @throws IgvmError EFI_DATA_INVALID for a damaged UKI and for one without the section, and what the file throws
 */
export function ukiResource(name: ResourceName, file: FileSource, display: string): UkiResource | undefined {
  const section = SECTION_OF[name];
  if (section === undefined || isBzImage(file) || !isUki(file)) return undefined;
  try {
    const found = readUki(file).sections.find((each) => each.name === section);
    if (found === undefined || found.size === 0) {
      throw new IgvmError('EFI_DATA_INVALID', `it is a unified kernel image (UKI), but has no ${section} for ${name}`);
    }
    const whole = regionSource(file, found.offset, found.size);
    const content = section === '.cmdline' ? withoutEnd(whole) : whole;
    return { content: new Section(file, content), start: found.offset };
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: display }) : error;
  }
}

/** Removes the NULs that some tools append to a command line. */
function withoutEnd(text: ByteSource): ByteSource {
  const bytes = new Uint8Array(Math.min(text.size, MOST_TEXT));
  text.read(0, bytes);
  let { length } = bytes;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return text.size > MOST_TEXT ? text : regionSource(text, 0, length);
}

class Section implements FileSource {
  readonly label: string;
  readonly size: number;

  constructor(
    private readonly file: FileSource,
    private readonly content: ByteSource,
  ) {
    this.label = file.label;
    this.size = content.size;
  }

  read(offset: number, target: Uint8Array): void {
    this.content.read(offset, target);
  }

  checkUnchanged(): void {
    this.file.checkUnchanged();
  }

  close(): void {
    this.file.close();
  }
}

/**
 * The contents of a UKI, for a build's report.
 * @param used the resources that use its sections. If given, unused sections are named, too
 */
export function ukiNote(file: ByteSource, display: string, used?: readonly ResourceName[]): string {
  const uki = readUki(file);
  const unused = Object.entries(used === undefined ? {} : SECTION_OF).flatMap(([name, section]) => {
    const isThere = uki.sections.some((each) => each.name === section && each.size > 0);
    return isThere && !used!.includes(name as ResourceName)
      ? [`its ${section} is not in the image: ${name} takes it`]
      : [];
  });
  return [`${printable(display)} is a UKI: ${describeUki(file, uki)}`, ...unused].join('; ');
}

/** Sections by name and size, and the texts that some hold, for people: `.linux 8247232 bytes, .cmdline "console=ttyS0"`. */
export function describeUki(file: ByteSource, uki: Uki = readUki(file)): string {
  const parts = uki.sections.map((section) => {
    const text = ukiText(file, section);
    return text === undefined || text === '' ? `${section.name} ${section.size} bytes` : `${section.name} "${text}"`;
  });
  const profiles = uki.profiles === 0 ? '' : `, and ${uki.profiles} further profiles, which are ignored`;
  return printable(`${parts.join(', ')}${profiles}`);
}
