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

/**
 * @throws IgvmError ISOLATION_UNSUPPORTED: what confidential guests need at boot, a `linux` image doesn't have
 */
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

/** x86 kernels have a buffer of 2048 bytes for it, NUL included (Linux, COMMAND_LINE_SIZE). */
const X64_LIMIT = 2047;

const WHERE = { jsonPath: ['image', 'linux', 'command_line'] };

/** Bytes without NUL that a kernel reads. @param kernelLimit what a bzImage says; an ELF kernel doesn't */
export const commandLineLimit = (kernelLimit: number | undefined): number => kernelLimit || X64_LIMIT;

/**
 * Says that the kernel will not read all of its command line, where upstream builds the image all the same. A line that a file
 * has a part in must be read whole: what would be lost is that part, such as a root hash.
 * @param length bytes without NUL
 * @param kernelLimit as for {@link encodeCommandLine}
 * @param mustFitAt the path of a line that must be read whole
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
 * A kernel's command line as the kernel reads it: UTF-8 with a NUL behind.
 * @param kernelLimit bytes without NUL that a bzImage says it takes; an ELF kernel doesn't say
 * @param room bytes of memory kept for it
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when it is too long for either: the kernel would cut it off in silence,
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
