import type { ErrorWhere } from '../errors/igvm-error';
import type { JsonPath } from '../manifest/json-path';
import type { InitChoice } from './guest-init';

/** A device node, which no folder under version control can hold. */
export interface DeviceNode {
  /** In the initramfs, for example `/dev/console`. */
  path: string;
  type: 'char' | 'block';
  major: number;
  minor: number;
  /** Octal permissions; by default 600. */
  mode?: string;
}

/** What an initramfs is made of, besides the folder. Paths are those in the initramfs. */
export interface InitrdLists {
  /** Where the initrd.json has a place such as `['devices', 0]`, for errors. */
  whereOf?: (path: JsonPath) => ErrorWhere;
  /**
   * The architecture whose {@link GUEST_INIT} becomes `/init`; without it the folder brings its own. `none` is for an initramfs that
   * starts nothing, such as one of modules that is loaded beside another.
   */
  init?: InitChoice;
  devices?: DeviceNode[];
  /** Folders that may be empty, which version control drops. */
  directories?: string[];
  /** Path to what it points to, for machines that can't have symbolic links. */
  symlinks?: Record<string, string>;
  /** Path to octal permissions, in place of 755 for folders and executables and 644 for other files. */
  modes?: Record<string, string>;
}

export type Compression = 'none' | 'gzip' | 'zstd';

export interface InitrdOptions extends InitrdLists {
  /** The folder whose content becomes the root of the initramfs. */
  folder: string;
  /** The file to write. */
  output: string;
  compression: Compression;
  /** Nobody but its owner may read the initramfs, whatever it is made of. */
  private?: boolean;
}
