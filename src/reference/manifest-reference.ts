import { EDITOR_KEYWORDS } from './editor-schema';
import { keySections } from './describe-schema';
import type { JsonSchema } from './json-schema';

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
| \`"boot/vmlinuz-*"\` | a pattern that matches exactly one file: \`*\`, \`?\`, \`[a-z]\`, \`[!a-z]\`, \`{a,b}\`, and \`**\` for folders of any depth (not through links). It begins with a folder other than the file system's root, and looks at 200,000 names at most. Escape special characters with a backslash |
| \`{ "path": "boot/vmlinuz", "sha256": "…" }\` | a file that is pinned: the build refuses any other content |
| \`{ "project": "initrd", "target": "build", "path": "dist/initrd/initrd.cpio" }\` | what another target writes, with \`path\` from the root of the workspace; that target runs first. It has to be cacheable, or named in the option \`resourceTargets\` of the plugin |

Only the resources that an image uses must exist. \`underhill_sidecar\` is used by an OpenHCL image whenever it is given.

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

A separate resources file of \`igvmfilegen\` works too (option \`resources\`). Then it is the only place for resources, and has its own
rule: \`{ "resources": { "linux_kernel": "/absolute/path" } }\`, where a path is taken literally.

## What goes together

- A file has one guest for each platform. \`"none"\` and \`"vbs"\` are the same platform, except that a \`linux\` image for x64 without isolation
  has a platform of its own and must be the only guest of its manifest.
- \`snp_linux_direct\` needs SNP isolation without a shared GPA boundary, normal injection and no secure AVIC, \`max_vtl\` 0, and must be alone.
- Every other image under SNP needs a shared GPA boundary, and restricted injection where \`max_vtl\` is 0.
- \`linux\` runs without isolation or under \`vbs\`; under \`snp\` use \`snp_linux_direct\` or \`openhcl\`, under \`tdx\` use \`openhcl\`.
- aarch64 has no SNP, no TDX, no \`config_type\` \`igvm\`, no embedded boot data, and OpenHCL there needs UEFI or Linux in VTL0.
`;

const KEYWORDS = EDITOR_KEYWORDS.map((keyword) => `\`${keyword}\``).join(', ');

/** docs/manifest.md. @param schema the manifest's JSON Schema */
export const manifestReference = (schema: JsonSchema): string =>
  `${INTRODUCTION.replace('EDITOR_KEYWORDS', KEYWORDS)}\n${keySections(schema, 'Keys of the manifest')}`;
