/** The schema of initrd.json, for its validation and for the JSON Schema that editors use. */
import * as z from 'zod/mini';
import {
  cString,
  closedStruct,
  count,
  list,
  optional,
  patternText,
  record,
  someOf,
  someText,
  struct,
  text,
  withDefault,
  word,
  webFile,
} from '../manifest/schema-parts';
import type { InitChoice } from './guest-init';
import { LARGEST_MAJOR, LARGEST_MINOR } from './cpio-newc';

const path = (description: string) => someText('a path', description);
const mode = (description: string) => patternText(/^[0-7]{3,4}$/, 'three or four octal digits', description);

const device = closedStruct(
  {
    path: path('Its path in the initramfs, such as `/dev/console`.'),
    type: word(
      { char: 'A character device, such as a console.', block: 'A block device, such as a disk.' },
      'The kind of device.',
    ),
    major: count({ max: BigInt(LARGEST_MAJOR) }, 'Major number.'),
    minor: count({ max: BigInt(LARGEST_MINOR) }, 'Minor number.'),
    mode: optional(mode('Octal permissions; by default 600.')),
  },
  'A device node.',
);

const source = {
  path: path('A path relative to this file, from the workspace with `{workspaceRoot}/`, or absolute; or a glob.'),
};
const output = {
  project: someText('the name of a project', 'The Nx project.'),
  target: someText('the name of a target', 'The target of that project.'),
  path: path('The output of the target, relative to the workspace.'),
};

/** A file on disk, or one that another target writes. */
const file = (description: string) =>
  z
    .union(
      [
        path(description),
        closedStruct(output, 'The output of another target, which runs first.'),
        closedStruct(webFile, 'A file from a web server, or a file in an archive from there.'),
      ],
      { error: () => 'a path, or an object with "project", "target" and "path", or with "url"' },
    )
    .register(z.globalRegistry, { description });

const choice = {
  tag: optional(someText('a name', 'The name of the image to use, if there are several.')),
  sha256: optional(
    patternText(/^[0-9a-fA-F]{64}$/, '64 hexadecimal digits', 'SHA-256 of the archive, which the build verifies.'),
  ),
};

const image = z
  .union(
    [
      path('The image.'),
      closedStruct({ ...source, ...choice }, 'An image on disk.'),
      closedStruct({ ...output, ...choice }, 'The output of another target, which runs first.'),
      closedStruct({ ...webFile, tag: choice.tag }, 'An archive from a web server.'),
    ],
    {
      error: () =>
        'a path, or an object with "path" (and "project" and "target" for the output of another target) or with "url"',
    },
  )
  .register(z.globalRegistry, {
    description:
      'A container image: the folder of an OCI layout, or an OCI or docker archive. Its files become the root of the initramfs, and the guest runs its command. See docs/containers.md.',
  });

const address = (description: string) =>
  patternText(/^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/, 'an IPv4 address', description);

const network = closedStruct(
  {
    interface: withDefault(
      patternText(/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/, 'the name of an interface', 'The network interface.'),
      'eth0',
    ),
    address: patternText(
      /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!\/)|(?=\/))){4}\/(?:3[0-2]|[12]?\d)$/,
      'an IPv4 address with the length of its network, such as "10.0.2.15/24"',
      'The IPv4 address of the interface, with the prefix length of its network.',
    ),
    gateway: optional(address('The gateway to other networks.')),
    nameservers: optional(list(address('An IPv4 address.'), 'DNS servers, which are written to `/etc/resolv.conf`.')),
  },
  'The network that the program of `init` or `image` sets up. Without this key, only the loopback interface is up, and a kernel with `CONFIG_IP_PNP` follows `ip=` in the command line.',
);

export const initrdSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  name: optional(someText('a name', "The Nx project's name, if the folder has neither project.json nor package.json.")),
  folder: optional(
    path(
      'The folder whose content becomes the root of the initramfs, relative to this file. With `image`, its files are added to those of the image. Default: `rootfs`; with `image`, none.',
    ),
  ),
  image: optional(image),
  command: optional(
    someOf(
      cString('A word.'),
      'a list of at least one word',
      'The command that the guest runs instead of ENTRYPOINT and CMD of the `image`.',
    ),
  ),
  environment: optional(
    record(cString('Its value.'), 'Environment variables to add to those of the `image`, or to replace.'),
  ),
  compression: withDefault(
    word(
      {
        none: 'Uncompressed: the fastest to build, and readable for every kernel.',
        gzip: 'gzip at level 9: slow to pack. Nearly every kernel has `CONFIG_RD_GZIP`.',
        zstd: 'zstd at level 3: smaller and much faster than gzip. For kernels from 5.9 on, with `CONFIG_RD_ZSTD`.',
      },
      'The compression, which the kernel must support.',
    ),
    'none',
  ),
  init: optional(
    word(
      {
        x64: 'A static program of 3 KiB for x64.',
        aarch64: 'A static program of 3 KiB for aarch64.',
        none: 'No first program. Linux can use such an archive only beside another one, with `rdinit=` or with `root=`.',
      } satisfies Record<InitChoice, string>,
      'Adds a small program for this architecture as `/init`. It mounts /dev, /proc and /sys, prints what the guest runs on, runs the program that the command line names, and powers off. Without this key, the folder must contain an `/init`. With an `image`, the program is added for the architecture of the image and runs its command.',
    ),
  ),
  modules: withDefault(
    list(
      file('A kernel module, not compressed.'),
      'Kernel modules that the program of `init` or `image` loads first, in this order: for example, those that a stock kernel needs for its network.',
    ),
    [],
  ),
  network: optional(network),
  directories: withDefault(
    list(path('A folder in the initramfs.'), "Empty folders to create, which version control doesn't keep."),
    [],
  ),
  devices: withDefault(list(device, 'Device nodes to create, which version control cannot hold.'), []),
  symlinks: withDefault(
    record(path('The target of the link.'), 'Symbolic links to add, by their path in the initramfs.'),
    {},
  ),
  modes: withDefault(
    record(
      mode('Octal permissions.'),
      'Octal permissions by path. The default is 755 for folders, ELF programs and scripts that begin with `#!`, and 644 for other files.',
    ),
    {},
  ),
}).register(z.globalRegistry, { title: 'Initramfs', description: 'The sources and options of an initramfs.' });
