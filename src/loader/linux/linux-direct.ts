import { IgvmError, type JsonPath } from '../../errors/igvm-error';
import { ISOLATIONS } from '../../igvm/isolation';
import type { DirectLinuxImage } from '../../manifest/model';
import type { ByteSource } from '../../memory/byte-source';
import type { ImageImporter, IsolationConfig } from '../guest/importer';

/** A Linux kernel that the VMM starts itself: no firmware, no paravisor. */
export interface DirectLinux {
  kernel: ByteSource;
  initrd?: ByteSource;
  /** The manifest's `linux` image. */
  image: DirectLinuxImage;
}

/** @throws IgvmError ISOLATION_UNSUPPORTED: a `linux` image lacks what confidential guests need at boot */
export function checkDirectLinuxIsolation(isolation: IsolationConfig['type']): void {
  if (ISOLATIONS[isolation].byProcessor) {
    const other = isolation === 'snp' ? 'snp_linux_direct or openhcl' : 'openhcl (or snp_linux_direct under snp)';
    throw new IgvmError(
      'ISOLATION_UNSUPPORTED',
      `a linux image cannot start under ${isolation}: use ${other} to run Linux there`,
      { jsonPath: ['isolation_type'] },
    );
  }
}

/** x86 kernels have a buffer of 2048 bytes for the command line, including the NUL (Linux, COMMAND_LINE_SIZE). */
const X64_LIMIT = 2047;

const WHERE = { jsonPath: ['image', 'linux', 'command_line'] };

/**
 * The longest command line that a kernel reads, in bytes without NUL. @param kernelLimit a bzImage's own limit;
 * undefined for an ELF kernel
 */
export const commandLineLimit = (kernelLimit: number | undefined): number => kernelLimit || X64_LIMIT;

/**
 * Notes that the kernel will not read all of its command line, as upstream builds such an image. A line that contains
 * text from a file must be read completely: that text, such as a root hash, would be cut off.
 * @param length bytes without NUL
 * @param kernelLimit as for {@link encodeCommandLine}
 * @param mustFitAt the JSON path of a line that must be read completely
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when such a line is too long
 */
export function noteCutOff(
  importer: ImageImporter,
  length: number,
  kernelLimit: number | undefined,
  mustFitAt?: JsonPath,
): void {
  const limit = commandLineLimit(kernelLimit);
  if (length <= limit) return;
  if (mustFitAt !== undefined) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `command_line has ${length} bytes with what "linux_command_line" adds, and the kernel takes at most ${limit}: shorten it`,
      { jsonPath: mustFitAt },
    );
  }
  importer.note(
    `command_line has ${length} bytes, and the kernel reads only the first ${limit}: the rest has no effect`,
  );
}

/**
 * A kernel's command line as the kernel reads it: UTF-8, terminated by a NUL.
 * @param kernelLimit a bzImage's own limit in bytes without NUL; undefined for an ELF kernel
 * @param room bytes of memory reserved for it
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when it exceeds either limit, as the kernel would silently cut it off;
 *   CONFIG_UNSUPPORTED when it contains a NUL
 */
export function encodeCommandLine(text: string, kernelLimit: number | undefined, room: number): Uint8Array {
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      `command_line has a NUL as character ${nul}, where the kernel would stop`,
      WHERE,
    );
  }
  const bytes = new TextEncoder().encode(text);
  const limit = Math.min(commandLineLimit(kernelLimit), room - 1);
  if (bytes.length > limit) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `command_line has ${bytes.length} bytes, and the kernel takes at most ${limit}: shorten it`,
      WHERE,
    );
  }
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}
