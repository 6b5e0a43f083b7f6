import { type ErrorWhere, IgvmError, unreachable } from '../errors/igvm-error';
import { type FileSource, openFileSource } from '../files/file-source';
import { sha256OfSource } from '../files/sha256';
import type { ResourceName } from '../manifest/model';
import type { ByteSource } from '../memory/byte-source';
import type { UnpackedKernel } from './compressed-kernel';
import { ukiNote, ukiResource, type UkiResource } from './uki-resources';

/** What a manifest says that a file has to be. */
export interface PinnedDigest {
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
  /** The place that pins it. */
  readonly where?: ErrorWhere;
}

/**
 * Refuses a file that isn't the pinned one.
 * @param source the file, open: what is built from must be what was checked
 * @param display its name in messages
 * @throws IgvmError RESOURCE_DIGEST at the place that pins it, and what reading the source throws
 */
export function verifyDigest(source: ByteSource, display: string, { sha256, where }: PinnedDigest): void {
  const actual = sha256OfSource(source);
  if (actual !== sha256.toLowerCase()) {
    throw new IgvmError('RESOURCE_DIGEST', `${display} has the SHA-256 ${actual}, not ${sha256}`, where);
  }
}

/** Where a resource is, and how messages name it. */
export interface ResourceFile {
  /** Absolute path. */
  path: string;
  /** Default: the path. */
  display?: string;
  /** SHA-256 in hexadecimal that the file must have. */
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

  /** @throws IgvmError FILE_UNREADABLE, FILE_CHANGED; RESOURCE_DIGEST for a file that isn't the pinned one */
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
   * A kernel, initrd or command line for Linux that nothing but the image starts: the file, or its section where it is a UKI.
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

  /** Where what {@link linuxPart} gave begins in the file. Bytes; undefined for all of a file. */
  sectionStart(name: ResourceName): number | undefined {
    return this.sections.get(name)?.start;
  }

  /** What the UKIs have that {@link linuxPart} found, and what of it nobody asked for; a line each. */
  *ukiNotes(): Generator<string> {
    const paths = new Set([...this.sections.keys()].map((name) => this.files.get(name)?.path));
    for (const path of paths) {
      const names = [...this.sections.keys()].filter((name) => this.files.get(name)?.path === path);
      yield ukiNote(this.get(names[0]!), this.displayOf(names[0]!), names);
    }
  }

  /**
   * Unpacks those kernels of arm64 guests that are compressed: what {@link get} gives is the kernel itself from then on.
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

  /** Where errors about a resource's content are. */
  private placeOf(name: ResourceName): ErrorWhere {
    return { file: this.displayOf(name), jsonPath: ['resources', name] };
  }

  /** How messages name a resource's file. */
  displayOf(name: ResourceName): string {
    const file = this.files.get(name);
    return file?.display ?? file?.path ?? name;
  }

  /** @throws IgvmError FILE_CHANGED when a file is not what it was when it was opened */
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
