import type { ErrorInfo } from '../error-info';

/** The manifest and its resources (src/manifest). */
export const MANIFEST_CODES = {
  MANIFEST_SYNTAX: {
    cause:
      'The manifest, the resources file or an initrd.json is not strict JSON: not UTF-8, a comment, a comma or quote amiss.',
    cure: 'Correct the JSON at the place that the message names.',
  },
  MANIFEST_DUPLICATE_KEY: {
    cause: 'An object has the same key twice, so that one of the two values would be lost.',
    cure: 'Remove one of the two.',
  },
  MANIFEST_INVALID: {
    cause: 'The manifest or an initrd.json has a value that is missing, of the wrong type or out of range.',
    cure: 'Correct the value; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_UNKNOWN_KEY: {
    cause:
      'The manifest has a key that means nothing there, and such keys are not allowed in that place or in strict mode.',
    cure: 'Correct the spelling or remove the key; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists every key, and https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md those of an initrd.json.',
  },
  MANIFEST_CONFLICT: {
    cause:
      'Each value is valid on its own but they do not go together, or the image cannot be built for that platform.',
    cure: 'Change one of the values that the message names.',
  },
  RESOURCE_MISSING: {
    cause: 'An image needs a kernel, initrd, firmware or shim that the resources do not name.',
    cure: 'Add the resource to "resources" in the manifest, or to the separate resources file.',
  },
  RESOURCE_PATH: {
    cause:
      'The path of a resource cannot be resolved: a pattern without exactly one match, no workspace, or a relative path in a separate resources file.',
    cure: 'Correct the path; https://github.com/nx-igvm/nx-igvm/blob/main/docs/manifest.md lists the forms that a resource can take.',
  },
  COMMAND_LINE_TEXT: {
    cause:
      'The file of the resource "linux_command_line" is not text that a kernel can read as part of its command line: empty, of several lines, too large, or with other characters than printable ASCII.',
    cure: 'Let the file hold one line of printable ASCII, with a closing quotation mark for each opening one; blanks and a line break around it do no harm.',
  },
  RESOURCE_DIGEST: {
    cause: 'A resource is not the file whose SHA-256 the manifest states.',
    cure: 'Restore the file that was pinned, or review the new one and put its SHA-256 into the manifest.',
  },
} as const satisfies Record<string, ErrorInfo>;
