import { IgvmError } from '../../errors/igvm-error';
import type { PageAcceptance } from '../../igvm/model';
import { type ByteSource, EMPTY_SOURCE, leadingZerosSource, regionSource } from '../../memory/byte-source';
import { alignDown, GPA_LIMIT, PAGE_SIZE, pagesFor } from '../../memory/page';
import type { ImageImporter } from './importer';

/**
 * Most zeros that a file may request besides its own bytes. Each page of them takes 32 bytes of the image, and of
 * memory during the build, so that without a limit a small hostile kernel could fill both. Real kernels request some
 * MiB.
 */
const ZERO_FILL_LIMIT = 2 ** 32;

/** @throws IgvmError KERNEL_INVALID when a file requests `size` bytes of zeros, more than any kernel needs */
export function checkZeroFill(tag: string, size: number): void {
  if (size > ZERO_FILL_LIMIT) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${tag} asks for ${size} bytes of zeroed memory, but at most 4 GiB is allowed`,
    );
  }
}

/** A part of a file and the memory it is loaded into; all in bytes. */
export interface FileRegion {
  source: ByteSource;
  /** Offset and length in `source`; checked here. */
  offset: number;
  length: number;
  /** Need not be aligned: if it isn't, the first page begins with zeros. */
  gpa: number;
  /** At least `length`; the memory after the file's bytes is zero. */
  memoryLength: number;
  acceptance: PageAcceptance;
  /** Name in the map file. */
  tag: string;
  /** Name in messages; default: the tag. */
  label?: string;
}

/**
 * Imports a region of a file as one run that refers to it: nothing is read. Pages after the file's bytes become empty
 * pages. An empty region imports nothing (openvmm vm/loader/src/common.rs: import_file_region).
 * @throws IgvmError KERNEL_INVALID when the region does not fit its memory or the file, LAYOUT_OUT_OF_RANGE when it
 *   does not fit the address space, LAYOUT_OVERLAP from the importer
 */
export function importFileRegion(importer: ImageImporter, region: FileRegion): void {
  const { source, offset, length, gpa, memoryLength, tag, label = tag } = region;
  if (length > memoryLength) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${label} has ${length} bytes in the file for ${memoryLength} bytes of memory at this address`,
      { gpa: { start: gpa, end: gpa + memoryLength } },
    );
  }
  if (memoryLength === 0) return;
  const leading = gpa - alignDown(gpa, PAGE_SIZE);
  if (gpa + memoryLength > GPA_LIMIT) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', `${label} reaches beyond the guest's address space of 2^52 bytes`, {
      gpa: { start: gpa, end: gpa + memoryLength },
    });
  }
  if (length > 0 && (offset > source.size || length > source.size - offset)) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${label} is truncated: ${length} bytes are to be loaded from here, but the file has only ${source.size} in all`,
      { offset },
    );
  }
  const content = length === 0 ? EMPTY_SOURCE : leadingZerosSource(leading, regionSource(source, offset, length));
  importer.importPages((gpa - leading) / PAGE_SIZE, pagesFor(leading + memoryLength), tag, region.acceptance, content);
}

/** Codes of errors in the contents of a file. */
const CONTENT_CODES: ReadonlySet<string> = new Set(['KERNEL_INVALID', 'FIRMWARE_INVALID']);

/** Loads from a file: an error in its contents gets the file's place, unless it names a file already. */
export function loadingFrom<T>(source: ByteSource, load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof IgvmError) || !CONTENT_CODES.has(error.code) || error.where.file !== undefined) throw error;
    const { offset = 0, ...where } = source.place ?? {};
    throw error.within(offset).at(where);
  }
}
