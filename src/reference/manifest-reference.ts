import { keySections } from './describe-schema';
import { EDITOR_KEYWORDS } from './editor-schema';
import type { JsonSchema } from './schemas';

const INTRODUCTION = `# The manifest

An image is one file, \`igvm.json\`, or \`NAME.igvm.json\` where a project has several. It is the manifest of \`igvmfilegen\` with a few more keys,
which \`igvmfilegen\` ignores: the same file works in both tools.

\`\`\`json
{
  "$schema": "../../node_modules/nx-igvm/schemas/igvm.schema.json",
  "guest_arch": "x64",
  "guest_configs": [
    {
      "guest_svn": 1,
      "max_vtl": 0,
      "isolation_type": "none",
      "image": {
        "linux": {
          "use_initrd": true,
          "command_line": "console=ttyS0",
          "boot_data": "embedded",
          "memory_size": 536870912
        }
      }
    }
  ],
  "resources": {
    "linux_kernel": "boot/vmlinuz",
    "linux_initrd": { "project": "initrd", "target": "build", "path": "dist/initrd/initrd.cpio" }
  }
}
\`\`\`

## How it is read

- It is strict JSON in UTF-8: no comments, no trailing commas, no byte order mark. The same key twice in one object is an error.
- Whole numbers are read exactly, up to 64 bits. \`1.0\` and \`1e3\` are not accepted as integers.
- An unknown key is ignored with a warning that names the nearest known key; with the option \`strict\` it is an error. In \`resources\` and
  in a product policy it is always an error.
- A message names file, line, column and the JSON path, and all mistakes are reported at once.

## In an editor

\`$schema\` gives an editor what it needs to complete keys and values, whole guests and resources among them, and to say what each one means. Where
files have no \`$schema\`, VS Code takes the schema from its settings, other editors in similar ways:

\`\`\`json
{
  "json.schemas": [
    { "fileMatch": ["igvm.json", "*.igvm.json"], "url": "./node_modules/nx-igvm/schemas/igvm.schema.json" },
    { "fileMatch": ["initrd.json"], "url": "./node_modules/nx-igvm/schemas/initrd.schema.json" }
  ]
}
\`\`\`

[plugin-options.md](plugin-options.md) has the same for the plugin's options in nx.json. The schemas are JSON Schema draft 7 with keywords for editors
(EDITOR_KEYWORDS), which validators ignore; Ajv in its strict mode has to be told of them with \`addVocabulary\`.

## Forms of a resource

| form | meaning |
| --- | --- |
| \`"boot/vmlinuz"\` | a path relative to the manifest |
| \`"{workspaceRoot}/boot/vmlinuz"\` | a path from the root of the Nx workspace |
| \`"/opt/boot/vmlinuz"\` | an absolute path |
| \`"boot/vmlinuz-*"\` | a pattern that matches exactly one file: \`*\`, \`?\`, \`[a-z]\`, \`[!a-z]\`, \`{a,b}\`, and \`**\` for folders of any depth (not through links; at the end it stands for a file in or below the folder before it). It begins with a folder other than the file system's root, and looks at 200,000 names at most. Escape special characters with a backslash |
| \`{ "path": "boot/vmlinuz", "sha256": "…" }\` | a file that is pinned: the build refuses any other content |
| \`{ "project": "initrd", "target": "build", "path": "dist/initrd/initrd.cpio" }\` | what another target writes, with \`path\` from the root of the workspace; that target runs first. It has to be cacheable, or named in the option \`resourceTargets\` of the plugin |
| \`{ "url": "https://…", "sha256": "…", "member": "boot/vmlinuz" }\` | what a server gives, or with \`member\` a file in an archive from there; downloaded once, and refused when it has another digest ([Resources from the web](downloads.md)) |

Only the resources that an image uses must exist. \`underhill_sidecar\` is used by an OpenHCL image whenever it is given, and all but \`ovmf_code\` by
an \`ovmf\` image.

### Text for the command line

\`linux_command_line\` is text that another target makes and that has to be in the image and in what it measures, such as the dm-verity
root hash of a file system:

\`\`\`json
{
  "resources": {
    "linux_kernel": "boot/vmlinuz",
    "linux_command_line": { "project": "rootfs", "target": "build", "path": "dist/rootfs/root-hash.txt" }
  }
}
\`\`\`

- The text, without blanks and line breaks around it, is appended to \`command_line\`, with a space between them. Where \`command_line\` has a \`--\`,
  it goes before that: what stands behind \`--\` are words for the first program, not for Linux.
- The file is one line of printable ASCII in at most 64 KiB. Anything else is an error, and so is a quotation mark that isn't closed, and
  a command line that is longer than the kernel reads.
- \`linux\` images have it in \`linux.command_line\`, \`snp_linux_direct\` in its kernel's. Of an OpenHCL image it is the line of Linux in VTL0, as
  \`linux_kernel\` is that kernel. Without Linux in VTL0 it is the paravisor's, which has to have \`static_command_line\`: otherwise the host
  could append to it what overrides the text.
- With an external loader, the plugin hands a manifest with the whole command line to it.

### Unified kernel images

A UKI, as \`ukify\`, dracut and mkosi make them, serves Linux images, too. Each resource takes its part out of it: \`linux_kernel\` the section \`.linux\`,
\`linux_initrd\` \`.initrd\`, and \`linux_command_line\` \`.cmdline\`. Name the file for all three, and leave \`command_line\` empty, for the guest that firmware would start from it:

\`\`\`json
{ "resources": { "linux_kernel": "boot/linux.efi", "linux_initrd": "boot/linux.efi", "linux_command_line": "boot/linux.efi" } }
\`\`\`

The build's report says what sections there are, and which of the three are not in the image. Of a UKI with profiles, the first counts. Microcode (\`.ucode\`) and
device trees are not used. A damaged UKI, and one without the section, is an error.

A separate resources file of \`igvmfilegen\` works too (option \`resources\`). Then it is the only place for resources, and has its own
rule: \`{ "resources": { "linux_kernel": "/absolute/path" } }\`, where a path is taken literally.

## What goes together

- A file has one guest for each platform. \`"none"\` and \`"vbs"\` are the same platform, except that a \`linux\` image for x64 without isolation
  has a platform of its own and must be the only guest of its manifest.
- \`snp_linux_direct\` needs SNP isolation without a shared GPA boundary, normal injection and no secure AVIC, \`max_vtl\` 0, and must be alone.
- Every other image but \`ovmf\` under SNP needs a shared GPA boundary, and restricted injection where \`max_vtl\` is 0.
- \`ovmf\` runs without isolation or under \`snp\`, x64 only, without a shared GPA boundary, with normal injection and no secure AVIC. A manifest may have one guest
  of each, with the same keys below \`ovmf\`; guests of other images can't share the file. [ovmf.md](ovmf.md) is about these images.
- \`linux\` runs without isolation or under \`vbs\`; under \`snp\` use \`snp_linux_direct\` or \`openhcl\`, under \`tdx\` use \`openhcl\`.
- aarch64 has no SNP, no TDX, no \`config_type\` \`igvm\`, no embedded boot data, and OpenHCL there needs UEFI or Linux in VTL0.
`;

const KEYWORDS = EDITOR_KEYWORDS.map((keyword) => `\`${keyword}\``).join(', ');

/** docs/manifest.md. @param schema the manifest's JSON Schema */
export const manifestReference = (schema: JsonSchema): string =>
  `${INTRODUCTION.replace('EDITOR_KEYWORDS', KEYWORDS)}\n${keySections(schema, 'Keys of the manifest')}`;

const INITRD_INTRODUCTION = `# initrd.json

A folder with a file \`initrd.json\` is a project whose \`build\` packs an initramfs: \`nx g nx-igvm:initrd\` makes one
([generators/initrd.md](generators/initrd.md)). The file may be as short as \`{}\`; then \`rootfs\`, the folder beside it, is what is packed. With \`image\` it
is a container image: [containers.md](containers.md).

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

- What comes from folders belongs to root, and every time is zero; a container image says both for its files. Paths are in the order of their bytes. Hard links of a folder become files of their own; extended
  attributes are left out, as the format has no place for them.
- A symbolic link of the folder stays one; what it leads to is not packed with it.
- A \`.gitkeep\`, which keeps an empty folder in version control, is left out.
- Permissions follow from the content, not from the disk, as files have no executable bit on Windows: see below.
- The compressors are part of the plugin: zlib as JavaScript (gzip, level 9) and zstd as WebAssembly (level 3). So gzip and zstd archives,
  too, are the same with every Node, on every processor and system. Only an update of the plugin can change them.

For 30 MiB of programs and text, gzip takes about 10 s and makes 7.2 MiB of them; zstd takes 1.5 s and makes 6.1 MiB.

## Permissions

Folders get 755. So do files that Linux runs as programs: ELF files, but for objects and kernel modules, and scripts whose first two bytes are
\`#!\`. Every other file gets 644. The bits on disk don't count, so that a checkout on Windows gives the archive that one on Linux does:

- A program without an executable bit has one in the guest.
- A file with an executable bit that is no program has none in the guest. The build names such files in a warning.

\`modes\` gives any file or folder other permissions: a script without \`#!\`, a program with set-user-ID, a key that only root may read.

These are the permissions in the guest. The archive itself may be read by those who may read all of the folder: one file with 600 or one folder with 700 in it,
and the archive gets 600. So does an image that is made of it. The option \`private\` (\`--private\`) gives 600 in any case. A file that is replaced keeps its
permissions, but for what they would give to others than these.

## A first program

A kernel starts \`/init\`. The folder may bring one: a script for a busybox, as \`nx g nx-igvm:initrd --busybox\` writes it, or a program of yours. Where there is
none, \`"init": "x64"\` or \`"init": "aarch64"\` adds a static program of 3 KiB that comes with nx-igvm (\`nx-igvm initrd FOLDER --init x64\` without an initrd.json). It

1. mounts devtmpfs, proc and sysfs on \`/dev\`, \`/proc\` and \`/sys\`;
2. prints the kernel's release and version, the machine, its processors and memory, and the command line: \`guest is up: Linux 6.1.0 on x86_64, 2 CPUs, 477 MiB of memory\`;
3. loads \`modules\` and sets up the \`network\`, where these are given;
4. runs the program that the command line names behind \`--\`, or else the command of the container image, and prints its exit code or the signal that ended it;
5. powers the guest off.

\`console=ttyS0 panic=-1 -- /bin/my-test --verbose "two words"\` runs \`/bin/my-test\` with two arguments; its path has to begin with \`/\`. The program needs to
be in the initramfs with everything that it loads, so it is best linked statically. What fails is printed with the kernel's error number, and the guest powers
off in any case.

A first program that can't be executed is an error, and an initramfs without one is told of: Linux would panic, late and without naming a file, unless the command
line names another program (\`rdinit=\`). \`"init": "none"\` says that it is meant, as for modules that are loaded beside another archive, or a guest with \`root=\` on a disk.

## What Linux takes

The kernel takes an initramfs of files below 4 GiB, folders, symbolic links and devices. Anything else in the folder (a socket, a pipe, a device node) is an
error that names it. So is a path that comes twice, from the folder and from one of the lists, unless it is a folder both times.

Linux unpacks an initramfs without complaint: what it can't hold isn't in the guest, or is there as something else. Packing refuses all of
that:

| refused | what Linux would do |
| --- | --- |
| \`TRAILER!!!\` as the name of anything at the top | leave it out; other programs end the archive there |
| names of more than 255 bytes, paths of more than 4095 | leave them out |
| links to nothing, to more than 4095 bytes, or with a NUL in their target | leave them out, or cut the target off |
| major numbers above 4095, minor numbers above 1048575 | make another device |
| \`dev\` as anything but a folder, \`dev/console\` as another character device than 5:1 | leave it out: the kernel's own initramfs has them already |
| permissions for a link | ignore them |
| names and targets that are not Unicode | keep them; but no other system could hold the folder |

The format of the file itself is that of a manifest ([manifest.md](manifest.md#how-it-is-read)).
`;

/** docs/initrd.md. @param schema the JSON Schema of initrd.json */
export const initrdReference = (schema: JsonSchema): string => `${INITRD_INTRODUCTION}\n${keySections(schema, 'Keys')}`;
