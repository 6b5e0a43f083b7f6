import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { modeOfOutput, OWNER_ONLY } from '../../files/access';
import { unwritable } from '../../files/file-failure';
import { TempFile } from '../../files/temp-file';
import type { ByteSource } from '../../memory/byte-source';
import type { Scratch } from './image-parts';

/**
 * A temporary file beside an output, for the unpacked bytes of an image: the system's folder for temporary files may be memory.
 * The next build of that output clears what a killed process left.
 */
export class TempSpool implements Scratch {
  size = 0;
  private readonly file: TempFile;
  private readonly madeFolders: string[] = [];

  /** @throws IgvmError FILE_UNWRITABLE */
  constructor(output: string) {
    const target = resolve(output);
    const folder = dirname(target);
    try {
      const first = mkdirSync(folder, { recursive: true });
      for (let each = folder; first !== undefined && each.length >= first.length; each = dirname(each)) {
        this.madeFolders.push(each);
      }
    } catch (error) {
      throw unwritable(output, error);
    }
    this.file = new TempFile(output, target, modeOfOutput(OWNER_ONLY), OWNER_ONLY);
  }

  async append(bytes: Uint8Array): Promise<void> {
    const at = this.size;
    this.size += bytes.length;
    await this.file.write(at, bytes);
  }

  /** What has been written so far. */
  source(): ByteSource {
    return { size: this.size, read: (offset, target) => this.file.read(offset, target) };
  }

  /** Removes the file, and the folders that were made for it if nothing else came into them. */
  discard(): void {
    this.file.discard();
    for (const folder of this.madeFolders) {
      try {
        rmdirSync(folder);
      } catch {
        return;
      }
    }
  }
}
