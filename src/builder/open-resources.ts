import { type ErrorWhere, unreachable } from '../errors/igvm-error';
import { type FileSource, openFileSource } from '../files/file-source';
import type { ResourceName } from '../manifest/model';
import { verifyDigest } from '../resources/pinned-digest';

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

  constructor(private readonly files: ReadonlyMap<ResourceName, ResourceFile>) {}

  /** @throws IgvmError FILE_UNREADABLE, FILE_CHANGED; RESOURCE_DIGEST for a file that isn't the pinned one */
  get(name: ResourceName): FileSource {
    let source = this.open.get(name);
    if (source === undefined) {
      const { path, sha256, where } = this.files.get(name) ?? unreachable(`no resource ${name}`);
      source = openFileSource(path);
      this.open.set(name, source);
      if (sha256 !== undefined) verifyDigest(source, this.displayOf(name), { sha256, where });
    }
    return source;
  }

  /** Opens all files that are pinned. @throws IgvmError as {@link get} */
  checkPinned(): void {
    for (const [name, { sha256 }] of this.files) if (sha256 !== undefined) this.get(name);
  }

  /** A resource that an image can do without. */
  find(name: ResourceName): FileSource | undefined {
    return this.files.has(name) ? this.get(name) : undefined;
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
    for (const source of this.open.values()) source.close();
    this.open.clear();
  }
}
