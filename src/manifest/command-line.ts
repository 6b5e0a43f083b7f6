/** Text from a file that becomes part of an image's command line: the resource `linux_command_line`. */
import { IgvmError, type JsonPath } from '../errors/igvm-error';
import type { Image, Manifest } from './model';

/** The most bytes in the file, including the blanks around its text: far more than any kernel accepts. */
export const COMMAND_LINE_FILE_LIMIT = 65536;

/**
 * The place of the command line that the text is added to, below a guest's `image`. With OpenHCL, it is that of the kernel in VTL0, if
 * there is one: `linux_kernel` and `linux_initrd` belong to that kernel, too.
 */
export function commandLinePlace(image: Image): [string, ...string[]] | undefined {
  if (image === 'none') return undefined;
  if ('linux' in image) return ['linux', 'command_line'];
  if ('snp_linux_direct' in image) return ['snp_linux_direct', 'linux', 'command_line'];
  if ('openhcl' in image) {
    return image.openhcl.linux ? ['openhcl', 'linux', 'command_line'] : ['openhcl', 'command_line'];
  }
  return undefined;
}

/** Why the text can't be part of an image, and the place below the guest: `[path, message]`. */
export function commandLineConflict(
  { guest_arch: arch }: Manifest,
  { image, max_vtl: maxVtl }: Manifest['guest_configs'][number],
): [JsonPath, string] | undefined {
  if (image === 'none') return undefined;
  const without = 'so the resource "linux_command_line" would not be in the image';
  if ('ovmf' in image) {
    return [
      ['image', 'ovmf'],
      `ovmf starts programs unchanged, with the command line inside a UKI (ukify --cmdline), ${without}`,
    ];
  }
  if ('linux' in image) {
    if (arch === 'aarch64') {
      return [['image', 'linux'], `a linux image for aarch64 has no place for a command line, ${without}`];
    }
    if (maxVtl === 2) return [['max_vtl'], `a linux image in VTL2 has no place for a command line, ${without}`];
  }
  if ('openhcl' in image) {
    const { linux, static_command_line: isStatic } = image.openhcl;
    if (linux && arch === 'aarch64') {
      return [['image', 'openhcl', 'linux'], `on aarch64, OpenHCL gets no command line for Linux in VTL0, ${without}`];
    }
    if (!linux && !isStatic) {
      return [
        ['image', 'openhcl', 'static_command_line'],
        'the resource "linux_command_line" needs "static_command_line": true, because the host could append to it otherwise',
      ];
    }
  }
  return undefined;
}

/**
 * The text of such a file, without the blanks around it.
 * @param bytes at most {@link COMMAND_LINE_FILE_LIMIT}
 * @param file its name in messages
 * @throws IgvmError COMMAND_LINE_TEXT for anything but one line of printable ASCII
 */
export function commandLineText(bytes: Uint8Array, file: string): string {
  const refuse = (what: string, offset?: number): never => {
    throw new IgvmError('COMMAND_LINE_TEXT', what, { file, ...(offset === undefined ? {} : { offset }) });
  };
  const blank = (byte: number | undefined): boolean => byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);
  let start = 0;
  let end = bytes.length;
  while (start < end && blank(bytes[start])) start++;
  while (end > start && blank(bytes[end - 1])) end--;
  if (start === end) refuse('is empty and would add nothing to the command line');
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= 0x20 && byte < 0x7f) continue;
    if (byte === 0) refuse('contains a NUL character, at which the kernel would stop reading', at);
    if (byte === 0x0a || byte === 0x0d) refuse('has more than one line', at);
    refuse(`contains the byte 0x${byte.toString(16).padStart(2, '0')}, which is not printable ASCII`, at);
  }
  const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
  if (hasOpenQuote(text)) refuse('has an unclosed quotation mark: the kernel would read the rest as one word');
  return text;
}

/** For Linux, every `"` starts or ends a quotation (lib/cmdline.c: next_arg). */
const hasOpenQuote = (text: string): boolean => (text.match(/"/g)?.length ?? 0) % 2 === 1;

/**
 * A command line with text appended: at its end, or before a `--`, after which Linux reads no parameters.
 * @throws IgvmError COMMAND_LINE_TEXT when the line ends inside a quotation, which would continue in the text
 */
export function appendToCommandLine(line: string, text: string): string {
  if (hasOpenQuote(line)) {
    throw new IgvmError(
      'COMMAND_LINE_TEXT',
      'command_line has an unclosed quotation mark, which would also quote the text of "linux_command_line"',
    );
  }
  const end = endOfParameters(line);
  const before = line.slice(0, end).trimEnd();
  const after = line.slice(end).trimStart();
  return [before, text, after].filter((part) => part !== '').join(' ');
}

/** Index of the word `--` in a command line, outside of quotations; the length of the line when there is none. */
function endOfParameters(line: string): number {
  let isQuoted = false;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === '"') isQuoted = !isQuoted;
    if (isQuoted || !line.startsWith('--', at)) continue;
    if (/^\s?$/.test(line.slice(Math.max(0, at - 1), at)) && /^\s?$/.test(line.slice(at + 2, at + 3))) return at;
  }
  return line.length;
}
