/** initrd.json, once: validation and the JSON Schema for editors come from here. */
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

const source = {
  path: path('A path relative to this file, from the workspace with `{workspaceRoot}/`, or absolute; or a glob.'),
};
const output = {
  project: someText('the name of a project', 'The Nx project.'),
  target: someText('the name of a target', 'The target of that project.'),
  path: path('What the target writes, relative to the workspace.'),
};

/** A file on disk, or one that another target writes. */
const file = (description: string) =>
  z
    .union(
      [
        path(description),
        closedStruct(output, 'The output of another target, which is built before.'),
        closedStruct(webFile, 'A file from a web server, or a file in an archive from there.'),
      ],
      { error: () => 'a path, or an object with "project", "target" and "path", or with "url"' },
    )
    .register(z.globalRegistry, { description });

const choice = {
  tag: optional(someText('a name', 'The name of the image that is meant, where there are several.')),
  sha256: optional(
    patternText(
      /^[0-9a-fA-F]{64}$/,
      '64 hexadecimal digits',
      'SHA-256 that an archive must have; the build verifies it.',
    ),
  ),
};

const image = z
  .union(
    [
      path('The image.'),
      closedStruct({ ...source, ...choice }, 'An image on disk.'),
      closedStruct({ ...output, ...choice }, 'What another target writes, which is built before.'),
      closedStruct({ ...webFile, tag: choice.tag }, 'An archive from a web server.'),
    ],
    {
      error: () =>
        'a path, or an object with "path" (and "project" and "target" for the output of another target) or with "url"',
    },
  )
  .register(z.globalRegistry, {
    description:
      'A container image: the folder of an OCI layout, or an OCI or docker archive. Its files become the root of the initramfs, and the guest runs its command. docs/containers.md says more.',
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
      'Its IPv4 address, with the length of the network.',
    ),
    gateway: optional(address('Where packets for other networks go.')),
    nameservers: optional(list(address('An IPv4 address.'), 'DNS servers, which `/etc/resolv.conf` names.')),
  },
  'What the program of `init` or `image` makes of the network. Without it, it turns on the loopback interface alone, and a kernel with `CONFIG_IP_PNP` does what `ip=` of the command line says.',
);

export const initrdSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  name: optional(
    someText('a name', "The Nx project's name, where the folder has neither project.json nor package.json."),
  ),
  folder: optional(
    path(
      'The folder whose content becomes the root of the initramfs, relative to this file; with `image`, what is put over that. Default: `rootfs`, and with `image` none.',
    ),
  ),
  image: optional(image),
  command: optional(
    someOf(
      cString('A word.'),
      'a list of at least one word',
      'What the guest runs, in place of ENTRYPOINT and CMD of the `image`.',
    ),
  ),
  environment: optional(
    record(cString('Its value.'), 'Environment variables besides those of the `image`, or in their place.'),
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
        x64: 'A static program of 3 KiB for x64.',
        aarch64: 'A static program of 3 KiB for aarch64.',
        none: 'No first program, on purpose: Linux can use such an archive only beside another one, with `rdinit=` or with `root=`.',
      } satisfies Record<InitChoice, string>,
      'Puts a small program for this architecture at `/init`: it mounts /dev, /proc and /sys, says what the guest runs on, runs the program that the command line names, and powers off. Without this key the folder brings its own, and an `image` has this program for its architecture, which then runs what the image says.',
    ),
  ),
  modules: withDefault(
    list(
      file('A kernel module, not compressed.'),
      'Kernel modules that the program of `init` or `image` loads before anything else, in this order: those that a stock kernel needs for its network, for example.',
    ),
    [],
  ),
  network: optional(network),
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
