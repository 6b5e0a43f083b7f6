/** initrd.json, once: validation and the JSON Schema for editors come from here. */
import * as z from 'zod/mini';
import {
  closedStruct,
  count,
  list,
  optional,
  patternText,
  record,
  someText,
  struct,
  text,
  withDefault,
  word,
} from '../manifest/schema-parts';
import type { InitChoice } from './guest-init';
import { LARGEST_MAJOR, LARGEST_MINOR } from './initramfs-rules';

const path = (description: string) => someText('a path', description);
const mode = (description: string) => patternText(/^[0-7]{3,4}$/, 'three or four octal digits', description);

const device = closedStruct(
  {
    path: path('Where it is in the initramfs, for example `/dev/console`.'),
    type: word(
      { char: 'A character device, such as a console.', block: 'A block device, such as a disk.' },
      'What kind of device it is.',
    ),
    major: count({ max: BigInt(LARGEST_MAJOR) }, 'Major number.'),
    minor: count({ max: BigInt(LARGEST_MINOR) }, 'Minor number.'),
    mode: optional(mode('Octal permissions; by default 600.')),
  },
  'A device node.',
);

export const initrdSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  name: optional(
    someText('a name', "The Nx project's name, where the folder has neither project.json nor package.json."),
  ),
  folder: withDefault(
    path('The folder whose content becomes the root of the initramfs, relative to this file.'),
    'rootfs',
  ),
  compression: withDefault(
    word(
      {
        none: 'Uncompressed: quickest to build, and every kernel takes it.',
        gzip: 'gzip at level 9: slow to pack; nearly every kernel has `CONFIG_RD_GZIP`.',
        zstd: 'zstd at level 3: smaller than gzip and much quicker; kernels from 5.9 on, with `CONFIG_RD_ZSTD`.',
      },
      'Compression. The kernel must support it.',
    ),
    'none',
  ),
  init: optional(
    word(
      {
        x64: 'A static program of 2 KiB for x64.',
        aarch64: 'A static program of 2 KiB for aarch64.',
        none: 'No first program, on purpose: Linux can use such an archive only beside another one, with `rdinit=` or with `root=`.',
      } satisfies Record<InitChoice, string>,
      'Puts a small program for this architecture at `/init`: it mounts /dev, /proc and /sys, says what the guest runs on, runs the program that the command line names, and powers off. Without this key the folder brings its own.',
    ),
  ),
  directories: withDefault(
    list(path('A folder in the initramfs.'), "Empty folders to create (version control doesn't keep them)."),
    [],
  ),
  devices: withDefault(list(device, 'Device nodes, which no folder under version control can hold.'), []),
  symlinks: withDefault(
    record(path('What it points to.'), 'Symbolic links besides those of the folder, by their path in the initramfs.'),
    {},
  ),
  modes: withDefault(
    record(
      mode('Octal permissions.'),
      'Octal permissions by path, in place of 755 for folders, ELF programs and scripts that begin with `#!`, and 644 for other files.',
    ),
    {},
  ),
}).register(z.globalRegistry, { title: 'Initramfs', description: 'What an initramfs is packed from.' });
