import { unreachable } from '../errors/igvm-error';
import { type FileSource, openFileSource } from '../files/file-source';
import type { ResourceName } from '../manifest/model';

/** Where a resource is, and how messages name it. */
export interface ResourceFile {
  /** Absolute path. */
  path: string;
  /** Default: the path. */
  display?: string;
}

/** The resources of one build: each file is opened when it is first used, and once for all guests. */
export class OpenResources {
  private readonly open = new Map<ResourceName, FileSource>();

  constructor(private readonly files: ReadonlyMap<ResourceName, ResourceFile>) {}

  /** @throws IgvmError FILE_UNREADABLE */
  get(name: ResourceName): FileSource {
    let source = this.open.get(name);
    if (source === undefined) {
      source = openFileSource((this.files.get(name) ?? unreachable(`no resource ${name}`)).path);
      this.open.set(name, source);
    }
    return source;
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
