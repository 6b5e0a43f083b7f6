import { type JsonSchema, keySections } from './describe-schema';
import { EDITOR_KEYWORDS } from './schemas';

const INTRODUCTION = `# The manifest

Each image has a manifest: \`igvm.json\`, or \`NAME.igvm.json\` in a project with several images. Its format is that of \`igvmfilegen\` with
a few more keys. \`igvmfilegen\` ignores them, so the same file works in both tools.

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

## Syntax

- The file is strict JSON in UTF-8, without comments, trailing commas or a byte order mark. A key that occurs twice in one object is an
  error.
- Whole numbers are read exactly, up to 64 bits. \`1.0\` and \`1e3\` are not integers.
- An unknown key is ignored with a warning that suggests the nearest known key. With the option \`strict\` it is an error. In \`resources\` and
  in a product policy it is always an error.
- Messages name the file, line, column and JSON path. All mistakes are reported at once.

## In an editor

With \`$schema\`, an editor completes and explains keys and values, including whole guests and resources. For files without \`$schema\`, VS
Code takes the schema from its settings. Other editors work in similar ways:

\`\`\`json
{
  "json.schemas": [
    { "fileMatch": ["igvm.json", "*.igvm.json"], "url": "./node_modules/nx-igvm/schemas/igvm.schema.json" },
    { "fileMatch": ["initrd.json"], "url": "./node_modules/nx-igvm/schemas/initrd.schema.json" }
  ]
}
\`\`\`

[plugin-options.md](plugin-options.md) has the same for the plugin's options in nx.json. The schemas are JSON Schema draft 7 with keywords
for editors (EDITOR_KEYWORDS),
which validators ignore. In its strict mode, Ajv has to be told of them with \`addVocabulary\`.

## Forms of a resource

| form | meaning |
| --- | --- |
| \`"boot/vmlinuz"\` | a path relative to the manifest |
| \`"{workspaceRoot}/boot/vmlinuz"\` | a path from the root of the Nx workspace |
| \`"/opt/boot/vmlinuz"\` | an absolute path |
| \`"boot/vmlinuz-*"\` | a pattern that matches exactly one file: \`*\`, \`?\`, \`[a-z]\`, \`[!a-z]\`, \`{a,b}\`, and \`**\` for folders of any depth (not through links; at the end it matches files in or below the folder before it). It begins with a folder other than the file system's root, and looks at 200,000 names at most. Escape special characters with a backslash |
| \`{ "path": "boot/vmlinuz", "sha256": "…" }\` | a pinned file: the build refuses any other content |
| \`{ "project": "initrd", "target": "build", "path": "dist/initrd/initrd.cpio" }\` | the output of another target, with \`path\` from the root of the workspace. That target runs first. It must be cacheable, or listed in the plugin's option \`resourceTargets\` |
| \`{ "url": "https://…", "sha256": "…", "member": "boot/vmlinuz" }\` | a download or, with \`member\`, a file in a downloaded archive. It is downloaded once, and refused if its digest differs ([Resources from the web](downloads.md)) |

Only the resources that an image uses must exist. An OpenHCL image uses \`underhill_sidecar\` if it is given. For an \`ovmf\` image, only
\`ovmf_code\` is required; it uses the others if they are given.

### Text for the command line

\`linux_command_line\` is for text that another target generates and that has to be in the image and its measurement, such as the dm-verity
root hash of a file system:

\`\`\`json
{
  "resources": {
    "linux_kernel": "boot/vmlinuz",
    "linux_command_line": { "project": "rootfs", "target": "build", "path": "dist/rootfs/root-hash.txt" }
  }
}
\`\`\`

- The text is trimmed and appended to \`command_line\` after a space. If \`command_line\` contains \`--\`, the text goes before it, because
  words after \`--\` are for the first program and not for Linux.
- The file must be one line of printable ASCII, at most 64 KiB. Anything else is an error. So are an unclosed quotation mark and a command
  line that is too long for the kernel.
- For \`linux\` images the text goes into \`linux.command_line\`, for \`snp_linux_direct\` into the command line of its kernel. For an OpenHCL
  image it goes to Linux in VTL0. Without Linux in VTL0 it goes to the paravisor, which then needs \`static_command_line\`: otherwise the
  host could append words that override the text.
- An external loader gets a manifest with the complete command line.

### Unified kernel images

Linux images can take their parts from a UKI, as \`ukify\`, dracut and mkosi make them. \`linux_kernel\` reads the section \`.linux\`,
\`linux_initrd\` reads \`.initrd\`, and \`linux_command_line\` reads \`.cmdline\`. For the guest that firmware would start from the UKI, name the
file for all three and leave \`command_line\` empty:

\`\`\`json
{ "resources": { "linux_kernel": "boot/linux.efi", "linux_initrd": "boot/linux.efi", "linux_command_line": "boot/linux.efi" } }
\`\`\`

The build's report lists the sections, and which of the three are not in the image. If a UKI has profiles, the first is used. Microcode
(\`.ucode\`) and device trees are not used. A damaged UKI is an error, and so is one without the section.

### A separate resources file

A resources file of \`igvmfilegen\` works, too (option \`resources\`). It replaces the manifest's own resources, and its paths are taken
literally: \`{ "resources": { "linux_kernel": "/absolute/path" } }\`.

## Valid combinations

- A file has at most one guest for each platform. \`"none"\` and \`"vbs"\` are the same platform, with one exception: a \`linux\` image for x64
  without isolation has a platform of its own, and must be the only guest of its manifest.
- \`snp_linux_direct\` requires SNP isolation without a shared GPA boundary, normal injection, no secure AVIC and \`max_vtl\` 0. It must be
  the only guest.
- All other images under SNP, except \`ovmf\`, require a shared GPA boundary and, if \`max_vtl\` is 0, restricted injection.
- \`ovmf\` runs without isolation or under \`snp\`, on x64 only, without a shared GPA boundary, with normal injection and no secure AVIC. A
  manifest may have one guest of each, with the same keys below \`ovmf\`. Guests of other images can't share the file. See
  [ovmf.md](ovmf.md).
- \`linux\` runs without isolation or under \`vbs\`. Under \`snp\` use \`snp_linux_direct\` or \`openhcl\`, under \`tdx\` use \`openhcl\`.
- aarch64 has no SNP, no TDX, no \`config_type\` \`igvm\` and no embedded boot data. OpenHCL on aarch64 needs UEFI or Linux in VTL0.
`;

const KEYWORDS = EDITOR_KEYWORDS.map((keyword) => `\`${keyword}\``).join(', ');

/** docs/manifest.md. @param schema the manifest's JSON Schema */
export const manifestReference = (schema: JsonSchema): string =>
  `${INTRODUCTION.replace('EDITOR_KEYWORDS', KEYWORDS)}\n${keySections(schema, 'Keys of the manifest')}`;

const INITRD_INTRODUCTION = `# initrd.json

A folder with an \`initrd.json\` is a project whose \`build\` target packs an initramfs. \`nx g nx-igvm:initrd\` creates one
([generators/initrd.md](generators/initrd.md)). The file may be just \`{}\`: then the folder \`rootfs\` beside it is packed. With \`image\`, a
container image is packed: [containers.md](containers.md).

\`\`\`json
{
  "$schema": "../node_modules/nx-igvm/schemas/initrd.schema.json",
  "folder": "rootfs",
  "compression": "zstd",
  "directories": ["/dev", "/proc", "/sys"],
  "devices": [{ "path": "/dev/console", "type": "char", "major": 5, "minor": 1 }],
  "symlinks": { "/bin/sh": "busybox" },
  "modes": { "/root": "700" }
}
\`\`\`

The syntax is that of a manifest ([manifest.md](manifest.md#syntax)).

## Reproducibility

The same folder gives the same archive on every machine:

- Files from folders belong to root, and their times are zero. Files of a container image keep the owners and times of the image.
- Paths are sorted by their bytes. Hard links in a folder become separate files. Extended attributes are left out, because the format has
  no place for them.
- Symbolic links stay links; their targets are not packed with them.
- A \`.gitkeep\`, which keeps an empty folder in version control, is left out.
- Permissions follow from the content and not from the disk ([see below](#permissions)), because files have no executable bit on Windows.
- The compressors are part of the plugin: zlib in JavaScript (gzip, level 9) and zstd in WebAssembly (level 3). Their output is the same
  with every Node version, processor and system. Only an update of the plugin can change it.

gzip turned 30 MiB of programs and text into 7.2 MiB in about 10 s, and zstd into 6.1 MiB in 1.5 s (one run of each, on two cores).

## Permissions

Folders get 755. So do files that Linux runs as programs: ELF files (except objects and kernel modules), and scripts that begin with \`#!\`.
All other files get 644. The permissions on disk don't count, so a checkout on Windows gives the same archive as one on Linux:

- A program without an executable bit on disk is executable in the guest.
- An executable file that isn't a program is not executable in the guest. The build warns about such files.

\`modes\` gives a file or folder other permissions: a script without \`#!\`, a program with set-user-ID, a key that only root may read.

These are the permissions in the guest. Anyone who may read all of the folder may read the archive. If the folder contains a file of mode 600
or a folder of mode 700, the archive gets mode 600, and so does an image that contains it. The option \`private\` (\`--private\`) always gives
600. A replaced file keeps its own permissions, minus those that it would give to others beyond this rule.

## A first program

A kernel starts \`/init\`. The folder may contain one: your own program, or a script for busybox like the one from
\`nx g nx-igvm:initrd --busybox\`. If it has none, \`"init": "x64"\` or \`"init": "aarch64"\` adds a static program of 3 KiB that comes with
nx-igvm. (Without an initrd.json, use \`nx-igvm initrd FOLDER --init x64\`.) It

1. mounts devtmpfs, proc and sysfs on \`/dev\`, \`/proc\` and \`/sys\`;
2. prints the kernel's release and version, the machine, its processors and memory, and the command line:
   \`guest is up: Linux 6.1.0 on x86_64, 2 CPUs, 477 MiB of memory\`;
3. loads \`modules\` and sets up the \`network\`, if they are given;
4. runs the program after \`--\` in the command line, or else the command of the container image, and prints its exit code or the signal
   that ended it;
5. powers the guest off.

\`console=ttyS0 panic=-1 -- /bin/my-test --verbose "two words"\` runs \`/bin/my-test\` with two arguments. Its path has to begin with \`/\`. The
initramfs must contain everything that the program loads, so link it statically if you can. Failures are printed with the kernel's error
number, and the guest still powers off.

A first program that can't be executed is an error. If there is none, packing warns, because Linux would panic late and without naming a
file. \`"init": "none"\` confirms that none is wanted: for modules that are loaded beside another archive, or for a guest with \`root=\` on a
disk.

An image that contains its command line is not built from an initramfs without \`/init\` (\`INITRD_INVALID\`), unless the command line names
another program (\`rdinit=\`, \`init=\`) or a disk (\`root=\`, \`nfsroot=\`). Where the VMM passes the command line (\`"boot_data": "vmm"\`), the
build prints a note. Only uncompressed archives are checked, and only their headers are read. If the kernel has an initramfs of its own
with an \`/init\`, use \`rdinit=/init\`.

## What Linux accepts

An initramfs may contain files below 4 GiB, folders, symbolic links and devices. Anything else in the folder (a socket, a pipe, a device
node) is an error that names it. So is a path that comes both from the folder and from one of the lists, unless it is a folder in both.

Linux unpacks an initramfs without complaint, but leaves out or changes entries that it can't represent. Packing refuses these entries:

| refused | what Linux would do |
| --- | --- |
| \`TRAILER!!!\` as a name at the top level | leave it out; other programs end the archive there |
| names of more than 255 bytes, paths of more than 4095 | leave them out |
| links with an empty target, a target of more than 4095 bytes, or a NUL in it | leave them out, or cut the target off |
| major numbers above 4095, minor numbers above 1048575 | make another device |
| \`dev\` as anything but a folder, \`dev/console\` as a character device other than 5:1 | leave it out: the kernel's own initramfs already has them |
| permissions for a link | ignore them |
| names and targets that are not Unicode | keep them, but no other system could store the folder |
`;

/** docs/initrd.md. @param schema the JSON Schema of initrd.json */
export const initrdReference = (schema: JsonSchema): string => `${INITRD_INTRODUCTION}\n${keySections(schema, 'Keys')}`;
