import { type ErrorWhere, IgvmError, unreachable } from '../errors/igvm-error';
import { type FileSource, openFileSource } from '../files/file-source';
import { sha256OfSource } from '../files/hashes';
import type { ResourceName } from '../manifest/model';
import { type ByteSource, regionSource } from '../memory/byte-source';
import type { UnpackedKernel } from './compressed-kernel';
import { printable } from '../errors/printable';
import { isBzImage } from '../loader/formats/bzimage';
import { isUki, readUki, type Uki, type UkiSectionName, ukiText } from '../uki/uki';

/** The digest that a manifest requires a file to have. */
export interface PinnedDigest {
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
  /** The place that pins it. */
  readonly where?: ErrorWhere;
}

/**
 * Refuses a file that doesn't have the pinned digest.
 * @param source the open file: the same bytes have to be checked and used
 * @param display its name in messages
 * @throws IgvmError RESOURCE_DIGEST at the place that pins it, and what reading the source throws
 */
export function verifyDigest(source: ByteSource, display: string, { sha256, where }: PinnedDigest): void {
  const actual = sha256OfSource(source);
  if (actual !== sha256.toLowerCase()) {
    throw new IgvmError('RESOURCE_DIGEST', `${display} has the SHA-256 ${actual}, not ${sha256}`, where);
  }
}

/** Where a resource is, and its name in messages. */
export interface ResourceFile {
  /** Absolute path. */
  path: string;
  /** Default: the path. */
  display?: string;
  /** The required SHA-256 in hexadecimal. */
  sha256?: string;
  /** The place that names it, for messages. */
  where?: ErrorWhere;
}

/** The resources of one build: each file is opened when it is first used, and once for all guests. */
export class OpenResources {
  private readonly open = new Map<ResourceName, FileSource>();
  private readonly unpacked = new Map<ResourceName, UnpackedKernel>();
  /** Sections of UKIs that stand for a resource. */
  private readonly sections = new Map<ResourceName, UkiResource>();

  constructor(private readonly files: ReadonlyMap<ResourceName, ResourceFile>) {}

  /** @throws IgvmError FILE_UNREADABLE, FILE_CHANGED; RESOURCE_DIGEST for a file without its pinned digest */
  get(name: ResourceName): FileSource {
    const unpacked = this.unpacked.get(name);
    if (unpacked !== undefined) return unpacked.source;
    let source = this.open.get(name);
    if (source === undefined) {
      const { path, sha256, where } = this.files.get(name) ?? unreachable(`no resource ${name}`);
      source = openFileSource(path, this.placeOf(name));
      this.open.set(name, source);
      if (sha256 !== undefined) verifyDigest(source, this.displayOf(name), { sha256, where });
    }
    return source;
  }

  /**
   * A kernel, initrd or command line of Linux: the file, or its section if the file is a UKI.
   * @throws IgvmError as {@link get}; EFI_DATA_INVALID for a UKI that is damaged or doesn't have it
   */
  linuxPart(name: ResourceName): FileSource {
    const file = this.get(name);
    const section = this.sections.get(name) ?? ukiResource(name, file, this.displayOf(name));
    if (section === undefined) return file;
    Object.assign(section.content, { place: { ...this.placeOf(name), offset: section.start } });
    this.sections.set(name, section);
    return section.content;
  }

  /** Offset in the file of the section that {@link linuxPart} returned; undefined for a whole file. Bytes. */
  sectionStart(name: ResourceName): number | undefined {
    return this.sections.get(name)?.start;
  }

  /** The contents of the UKIs that {@link linuxPart} found, and their unused sections; one line each. */
  *ukiNotes(): Generator<string> {
    const paths = new Set([...this.sections.keys()].map((name) => this.files.get(name)?.path));
    for (const path of paths) {
      const names = [...this.sections.keys()].filter((name) => this.files.get(name)?.path === path);
      yield ukiNote(this.get(names[0]!), this.displayOf(names[0]!), names);
    }
  }

  /**
   * Unpacks the compressed kernels of arm64 guests: from then on, {@link get} returns the unpacked kernel.
   * @throws IgvmError KERNEL_INVALID and as {@link get}
   */
  async unpackKernels(): Promise<void> {
    const { ARM64_KERNELS, unpackKernel } = require('./compressed-kernel') as typeof import('./compressed-kernel');
    for (const [name, label] of ARM64_KERNELS) {
      if (!this.files.has(name)) continue;
      try {
        const unpacked = await unpackKernel(this.get(name), label);
        if (unpacked !== undefined) this.unpacked.set(name, unpacked);
      } catch (error) {
        if (!(error instanceof IgvmError) || error.code !== 'KERNEL_INVALID') throw error;
        throw error.at({ file: this.displayOf(name) });
      }
    }
  }

  /** Opens all files that are pinned. @throws IgvmError as {@link get} */
  checkPinned(): void {
    for (const [name, { sha256 }] of this.files) if (sha256 !== undefined) this.get(name);
  }

  /** A resource that an image can do without. */
  find(name: ResourceName): FileSource | undefined {
    return this.files.has(name) ? this.get(name) : undefined;
  }

  has(name: ResourceName): boolean {
    return this.files.has(name);
  }

  /** The place of errors about a resource's content. */
  private placeOf(name: ResourceName): ErrorWhere {
    return { file: this.displayOf(name), jsonPath: ['resources', name] };
  }

  /** The name of a resource's file in messages. */
  displayOf(name: ResourceName): string {
    const file = this.files.get(name);
    return file?.display ?? file?.path ?? name;
  }

  /** @throws IgvmError FILE_CHANGED when a file has changed since it was opened */
  checkUnchanged(): void {
    for (const source of this.open.values()) source.checkUnchanged();
  }

  close(): void {
    for (const kernel of this.unpacked.values()) kernel.dispose();
    this.unpacked.clear();
    for (const source of this.open.values()) source.close();
    this.open.clear();
    this.sections.clear();
  }
}

/** The section of a UKI that a resource stands for. */
const SECTION_OF: Readonly<Partial<Record<ResourceName, UkiSectionName>>> = {
  linux_kernel: '.linux',
  linux_initrd: '.initrd',
  linux_command_line: '.cmdline',
};

/** A larger section is not a command line. Bytes. */
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
