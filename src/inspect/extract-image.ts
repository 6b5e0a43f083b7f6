import {
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { hex } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import { unreadable, unwritable } from '../files/file-failure';
import { withImage } from '../files/igvm-image';
import { readRegularFile } from '../files/regular-file';
import { textChunks } from '../files/atomic-output';
import { dump, dumpText, fieldsText, platformTypeName } from '../igvm/dump';
import type { Directive, IgvmFile, VpContextDirective } from '../igvm/model';
import { type ByteSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { mapBeside, parseMapFor, type TaggedRange } from '../regions/image-map';
import { type GuestRegion, guestRegions } from '../regions/guest-regions';
import { readPages, storedEnd } from '../regions/guest-pages';
import { describeVpContext } from '../vp-context/decode';

/** What to extract, and where to. */
export interface ExtractRequest {
  /** Path of an image, or of a firmware DLL with one inside. */
  image: string;
  /** Path of the new folder, which must not exist. It appears when it is complete. */
  output: string;
  /** Path of a map file, which must fit the image. By default, the one beside the image is used as far as it fits. */
  map?: string;
  /** How messages name a path. Default: as given. */
  display?: (path: string) => string;
}

/** What was written. */
export interface ExtractReport {
  regions: number;
  contexts: number;
  parameterAreas: number;
}

/** Bytes copied at a time. */
const CHUNK = 2 ** 20;

/** Nobody can look through more files than this. A hostile image could have a region for each page. */
const MOST_FILES = 100_000;

const MAP_SIZE_LIMIT = 16 * 2 ** 20;

/**
 * Extracts an image into files: headers and directives as text, memory region by region, VP contexts and parameter areas. Reads and
 * writes in chunks. Pages without data take no space on file systems that support holes.
 * @throws IgvmError as withImage, FILE_UNWRITABLE also for a folder that exists, MAP_INVALID, IGVM_TOO_LARGE for far too many regions
 */
export async function extractImage({ image, output, map, display = String }: ExtractRequest): Promise<ExtractReport> {
  refuseExisting(output, display(output));
  return withImage(image, ({ file, source }) => {
    const names = map === undefined ? mapBeside(image) : parseMapFor(readMap(map, display(map)), file, display(map));
    let folder: string;
    try {
      folder = mkdtempSync(join(dirname(output), '.nx-igvm-extract-'));
    } catch (error) {
      throw unwritable(display(output), error);
    }
    try {
      const report = new Extraction(folder, file).write(source, names ?? []);
      refuseExisting(output, display(output));
      renameSync(folder, output);
      return report;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error instanceof IgvmError || !isSystemError(error) ? error : unwritable(display(output), error);
    }
  });
}

const isSystemError = (error: unknown): boolean => error instanceof Error && 'syscall' in error;

function refuseExisting(path: string, display: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw new IgvmError('FILE_UNWRITABLE', 'already exists; choose a new folder', { file: display });
  }
}

function readMap(path: string, display: string): string {
  try {
    return readRegularFile(path, { limit: MAP_SIZE_LIMIT }).toString();
  } catch (error) {
    throw unreadable(display, error);
  }
}

/** File extensions of regions with a format of their own, by their names in the map file. */
const EXTENSIONS: readonly (readonly [name: RegExp, extension: string])[] = [
  [/^underhill-initrd$/, 'cpio.gz'],
  [/command-?line$/, 'txt'],
  [/^underhill-device-tree$/, 'dtb'],
];

const UNNAMED = 'unmapped';

/** Most characters of a region's name in a file name, which can have 255 bytes. */
const NAME_LIMIT = 200;

/** Safe in every file system: letters, digits, `_` and `-` stay, everything else becomes `%XX`. */
export const safeName = (name: string): string =>
  [...Buffer.from(name)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) =>
      /[A-Za-z0-9_-]/.test(character)
        ? character
        : `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .reduce((text, part) => (text.length + part.length > NAME_LIMIT ? text : text + part), '');

const padded = (number: number): string => String(number).padStart(4, '0');

class Extraction {
  private readonly taken = new Set<string>();

  constructor(
    private readonly folder: string,
    private readonly file: IgvmFile,
  ) {}

  write(source: ByteSource, names: readonly TaggedRange[][]): ExtractReport {
    for (const each of ['headers', 'regions', 'vp_context', 'parameter_areas']) mkdirSync(join(this.folder, each));
    const contents = dump(this.file, source, (context) => describeVpContext(context, this.file.arch));
    this.text(
      'headers/platforms.txt',
      contents.platforms.map((each) => `${fieldsText(each)}\n`),
    );
    this.text(
      'headers/initializations.txt',
      contents.initializations.map((each) => `${fieldsText(each)}\n`),
    );
    this.text('metadata.txt', dumpText(contents));
    const report = {
      regions: this.regions(names),
      contexts: this.contexts(),
      parameterAreas: this.parameterAreas(),
    };
    if (report.contexts === 0) rmdirSync(join(this.folder, 'vp_context'));
    if (report.parameterAreas === 0) rmdirSync(join(this.folder, 'parameter_areas'));
    return report;
  }

  private regions(names: readonly TaggedRange[][]): number {
    const lines: string[] = [];
    for (const [index, header] of this.file.platforms.entries()) {
      const platform = platformTypeName(header.platformType);
      const regions = guestRegions(this.file, header.compatibilityMask, names[index] ?? [], { apart: true });
      for (const region of regions) {
        if (region.spans.length === 0) continue;
        if (lines.length === MOST_FILES) {
          throw new IgvmError('IGVM_TOO_LARGE', `the memory has more than ${MOST_FILES} separate regions`);
        }
        const { gpa, end, kind, marks, tags } = region;
        const name = tags[0] ?? UNNAMED;
        const extension = EXTENSIONS.find(([pattern]) => pattern.test(name))?.[1] ?? 'bin';
        const path = `regions/${padded(lines.length)}_${safeName(name)}.${extension}`;
        this.binary(path, end - gpa, (write) => writeSpans(region, write));
        const pages = (end - gpa) / PAGE_SIZE;
        lines.push(
          `${path}  ${hex(gpa)}-${hex(end)}  pages ${pages}  ${platform}  ${[kind, ...marks].join(' ')}  ${safeName(name)}\n`,
        );
      }
    }
    this.text('regions.txt', lines);
    return lines.length;
  }

  private contexts(): number {
    const contexts = this.file.directives.filter((each): each is VpContextDirective => each.type === 'vpContext');
    for (const context of contexts) {
      const { format, vpIndex, data } = context;
      if (format !== 'vbs') {
        const prefix = format === 'native' ? 'x64_native' : format;
        this.binary(this.unique(`vp_context/${prefix}_vp${vpIndex}`, 'bin', context), data.length, (write) =>
          write(0, data),
        );
        continue;
      }
      const registers = describeVpContext(context, this.file.arch);
      const vtl = Number(registers.find(({ name }) => name === 'vtl')?.value ?? 0);
      const stem = `vp_context/${this.file.arch}_vbs_Vtl${vtl}_vp${vpIndex}`;
      this.text(
        this.unique(stem, 'txt', context),
        registers.map((each) => `${fieldsText(each)}\n`),
      );
    }
    return contexts.length;
  }

  private parameterAreas(): number {
    let count = 0;
    for (const [number, directive] of this.file.directives.entries()) {
      if (directive.type !== 'parameterArea') continue;
      count++;
      const { index, size, initialData } = directive;
      this.binary(`parameter_areas/area_${padded(index)}_${padded(number)}.bin`, size, (write) =>
        copy(initialData, write),
      );
    }
    return count;
  }

  /** A name that no file has yet: guests of two platforms may have processors with the same number. */
  private unique(
    stem: string,
    extension: string,
    { compatibilityMask }: Extract<Directive, { type: 'vpContext' }>,
  ): string {
    let path = `${stem}.${extension}`;
    for (let number = 0; this.taken.has(path); number++) {
      path = `${stem}_mask${hex(compatibilityMask)}${number === 0 ? '' : `_${number}`}.${extension}`;
    }
    this.taken.add(path);
    return path;
  }

  private text(path: string, pieces: Iterable<string>): void {
    const fd = openSync(join(this.folder, path), 'wx');
    try {
      for (const chunk of textChunks(pieces)) writeFileSync(fd, chunk);
    } finally {
      closeSync(fd);
    }
  }

  /** @param size bytes; what `fill` doesn't write is zeros */
  private binary(path: string, size: number, fill: (write: (offset: number, bytes: Uint8Array) => void) => void): void {
    const fd = openSync(join(this.folder, path), 'wx');
    try {
      fill((offset, bytes) => {
        for (let done = 0; done < bytes.length; ) {
          done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
        }
      });
      ftruncateSync(fd, size);
    } finally {
      closeSync(fd);
    }
  }
}

/** The pages of a region that have data, chunk by chunk. */
function writeSpans({ gpa: start, spans }: GuestRegion, write: (offset: number, bytes: Uint8Array) => void): void {
  for (const { gpa, end, run } of spans) {
    const stored = Math.min(end, Math.max(gpa, storedEnd(run)));
    const chunk = new Uint8Array(Math.min(CHUNK, stored - gpa));
    for (let at = gpa; at < stored; at += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, stored - at));
      readPages(run, at, part);
      write(at - start, part);
    }
  }
}

function copy(content: ByteSource = EMPTY_SOURCE, write: (offset: number, bytes: Uint8Array) => void): void {
  const chunk = new Uint8Array(Math.min(CHUNK, content.size));
  for (let at = 0; at < content.size; at += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, content.size - at));
    content.read(at, part);
    write(at, part);
  }
}
