import { keySections } from './describe-schema';
import type { JsonSchema } from './json-schema';

const INTRODUCTION = `# initrd.json

A folder with a file \`initrd.json\` is a project whose \`build\` packs an initramfs: \`nx g nx-igvm:initrd\` makes one
([generators/initrd.md](generators/initrd.md)). The file may be as short as \`{}\`; then \`rootfs\`, the folder beside it, is what is packed.

\`\`\`json
{
  "$schema": "../node_modules/nx-igvm/schemas/initrd.schema.json",
  "folder": "rootfs",
  "compression": "zstd",
  "directories": ["proc", "sys", "dev"],
  "devices": [{ "path": "dev/console", "type": "char", "major": 5, "minor": 1 }],
  "symlinks": { "bin/sh": "busybox" },
  "modes": { "root": "700" }
}
\`\`\`

## What makes it the same on every machine

- Everything belongs to root, every time is zero, and paths are in the order of their bytes.
- Permissions are those of the table below, not those of the disk: of a file only counts whether anyone may execute it.
- A symbolic link of the folder stays one; what it leads to is not packed with it.
- A \`.gitkeep\`, which keeps an empty folder in version control, is left out.
- An uncompressed archive is the same everywhere, a compressed one wherever the compressor has the same version: gzip is Node's own; zstd is,
  too, from Node 22.15 on, and before that the program \`zstd\`.

## A first program

A kernel starts \`/init\`. The folder may bring one: a script for a busybox, as \`nx g nx-igvm:initrd --busybox\` writes it, or a program of yours. Where there is
none, \`"init": "x64"\` or \`"init": "aarch64"\` adds a static program of 2 KiB that comes with nx-igvm (\`nx-igvm initrd FOLDER --init x64\` without an initrd.json). It

1. mounts devtmpfs, proc and sysfs on \`/dev\`, \`/proc\` and \`/sys\`;
2. prints the kernel's release and version, the machine, its processors and memory, and the command line: \`guest is up: Linux 6.1.0 on x86_64, 2 CPUs, 477 MiB of memory\`;
3. runs the program that the command line names behind \`--\`, if there is one, and prints its exit code or the signal that ended it;
4. powers the guest off.

\`console=ttyS0 panic=-1 -- /bin/my-test --verbose "two words"\` runs \`/bin/my-test\` with two arguments; its path has to begin with \`/\`. The program needs to
be in the initramfs with everything that it loads, so it is best linked statically. What fails is printed with the kernel's error number, and the guest powers
off in any case.

The kernel takes an initramfs of files below 4 GiB, folders, symbolic links and devices. Anything else in the folder (a socket, a pipe, a device node) is an
error that names it. So is a path that comes twice, from the folder and from one of the lists, unless it is a folder both times.

The format of the file itself is that of a manifest ([manifest.md](manifest.md#how-it-is-read)).
`;

/** docs/initrd.md. @param schema the JSON Schema of initrd.json */
export const initrdReference = (schema: JsonSchema): string => `${INTRODUCTION}\n${keySections(schema, 'Keys')}`;
