import { realpathSync } from 'node:fs';
import { basename, isAbsolute, relative, sep } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { accessOf, accessOfFiles, EVERYONE, OWNER_ONLY } from '../files/access';
import { createOutputSet, placeOf } from '../files/atomic-output';
import { unreadable } from '../files/file-failure';
import { openFileSource } from '../files/file-source';
import type { ByteSource } from '../memory/byte-source';
import { collectEntries, type InitrdEntry } from './collect-entries';
import { compress } from './compress';
import type * as ContainerModule from './container/container-entries';
import type { ContainerEntries } from './container/container-entries';
import { cpioHeader, cpioPadding, cpioTrailer } from './cpio-newc';
import type { InitrdOptions } from './load-initrd';
import { startEntries } from './start-entries';

/** The result of packing. */
export interface InitrdReport {
  output: string;
  /** Bytes of the file. */
  size: number;
  /** Bytes before compression. */
  archiveSize: number;
  entryCount: number;
  /** Paths of files that are executable on this machine but not in the guest, because they are not programs. */
  notExecutable: string[];
  /** A warning, in one sentence, if there is no program for Linux to start and this was not requested. */
  withoutInit?: string;
}

/** Bytes of a file to read at once. */
const CHUNK = 1 << 20;

/**
 * Packs a folder into an initramfs: cpio newc, all entries owned by root, times zero, sorted by name. The same folder results in the same
 * file on every machine. The file appears when it is complete. It may be read by those who may read all of its sources. With a
 * container image, owners, times and permissions are those of its layers.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, INITRD_ENTRY, and with an image, as containerEntries
 */
export async function packInitrd(given: InitrdOptions): Promise<InitrdReport> {
  const { folder, image, output } = given;
  if (folder !== undefined) checkOutside(folder, output);
  if (image !== undefined) checkOutside(image.path, output);
  const outputs = createOutputSet();
  let container: ContainerEntries | undefined;
  try {
    const architecture = given.init === undefined || given.init === 'none' ? undefined : given.init;
    if (image !== undefined) {
      const { containerEntries } = require('./container/container-entries') as typeof ContainerModule;
      const source = { ...image, ...(architecture === undefined ? {} : { architecture }) };
      container = await containerEntries(source, output, given);
    }
    const options: InitrdOptions = {
      ...given,
      ...(container === undefined ? {} : { init: given.init ?? container.architecture }),
    };
    const base = container && { entries: container.entries, where: image?.where ?? { file: image?.path ?? '' } };
    const entries = collectEntries({ folder, base, ...startEntries(options, container) }, options);
    const access =
      options.private === true
        ? OWNER_ONLY
        : entries.reduce(
            (all, { stats }) => (stats === undefined ? all : all & accessOf(stats)),
            (container?.access ?? EVERYONE) & accessOfFiles(folder === undefined ? [] : [folder]),
          );
    const file = outputs.add(output, access);
    const report: InitrdReport = {
      output,
      size: 0,
      archiveSize: 0,
      entryCount: entries.length,
      notExecutable: [],
      ...(options.init === 'none' ? {} : checkInit(options, entries)),
    };
    for await (const chunk of compress(archive(entries, report, options.init !== 'none'), options.compression)) {
      await file.write(report.size, chunk);
      report.size += chunk.length;
    }
    await outputs.commit();
    return report;
  } catch (error) {
    await outputs.abort();
    throw error;
  } finally {
    container?.discard();
  }
}

/** The common serial number of a file's names, and how many of the names are still to come. */
interface Names {
  serial: number;
  count: number;
  left: number;
}

function namesOf(entries: readonly InitrdEntry[]): Map<object, Names> {
  const names = new Map<object, Names>();
  for (const [index, { inode }] of entries.entries()) {
    if (inode === undefined) continue;
    const known = names.get(inode);
    if (known === undefined) names.set(inode, { serial: index + 1, count: 1, left: 1 });
    else known.left = ++known.count;
  }
  return names;
}

function* archive(entries: readonly InitrdEntry[], report: InitrdReport, startsGuest: boolean): Generator<Uint8Array> {
  for (const chunk of members(entries, report, startsGuest)) {
    report.archiveSize += chunk.length;
    yield chunk;
  }
  const trailer = cpioTrailer(report.archiveSize);
  report.archiveSize += trailer.length;
  yield trailer;
}

function* members(entries: readonly InitrdEntry[], report: InitrdReport, startsGuest: boolean): Generator<Uint8Array> {
  const names = namesOf(entries);
  for (const [index, entry] of entries.entries()) {
    const { permissions = 0, source, content, data, target, inode } = entry;
    const file = inode === undefined ? undefined : names.get(inode);
    const isFurther = file !== undefined && --file.left > 0;
    const size = isFurther ? 0 : entry.size;
    if (source !== undefined) {
      yield* fileOnDisk(entry, source, index + 1, report, startsGuest);
    } else {
      yield cpioHeader({ ...entry, permissions, size }, file?.serial ?? index + 1, file?.count);
      if (data !== undefined) yield* piecesOf(data, size);
      if (content !== undefined) yield content;
      if (target !== undefined) yield Buffer.from(target);
    }
    yield cpioPadding(size);
  }
}

/**
 * A file's header, and exactly as many bytes as it states. The first bytes determine whether the file is executable, because Windows has
 * no bits for that, and the archive must be the same everywhere. Each piece has its own buffer, so that it can be queued.
 */
function* fileOnDisk(
  entry: InitrdEntry,
  path: string,
  serial: number,
  report: InitrdReport,
  startsGuest: boolean,
): Generator<Uint8Array> {
  const { size, stats } = entry;
  const source = openFileSource(path);
  try {
    if (source.size !== size) throw new IgvmError('FILE_CHANGED', 'changed while it was being packed', { file: path });
    let chunk = new Uint8Array(Math.min(CHUNK, size));
    source.read(0, chunk);
    const isExecutable = isProgram(chunk);
    if (entry.permissions === undefined && !isExecutable && ((stats?.mode ?? 0) & 0o111) !== 0) {
      report.notExecutable.push(entry.path);
    }
    if (entry.path === 'init' && entry.permissions === undefined && !isExecutable && startsGuest) throw noProgram(path);
    yield cpioHeader({ ...entry, permissions: entry.permissions ?? (isExecutable ? 0o755 : 0o644) }, serial);
    yield chunk;
    for (let offset = CHUNK; offset < size; offset += CHUNK) {
      chunk = new Uint8Array(Math.min(CHUNK, size - offset));
      source.read(offset, chunk);
      yield chunk;
    }
    source.checkUnchanged();
  } finally {
    source.close();
  }
}

/** The bytes of a source in pieces, each with its own buffer. */
function* piecesOf(source: ByteSource, size: number): Generator<Uint8Array> {
  for (let offset = 0; offset < size; offset += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - offset));
    source.read(offset, chunk);
    yield chunk;
  }
}

/** `e_type` of ELF files that are neither programs nor shared libraries: objects, kernel modules and core dumps. */
const ELF_NO_PROGRAM = [1, 4];

/**
 * Whether Linux would run a file as a program: an ELF file other than objects and kernel modules, or a script that names its interpreter
 * (fs/binfmt_elf.c, fs/binfmt_script.c).
 */
function isProgram(start: Uint8Array): boolean {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.length);
  if (bytes.toString('latin1', 0, 2) === '#!') return true;
  if (bytes.toString('latin1', 0, 4) !== '\x7fELF') return false;
  const isBigEndian = bytes[5] === 2;
  const type = bytes.length < 18 ? 0 : isBigEndian ? bytes.readUInt16BE(16) : bytes.readUInt16LE(16);
  return !ELF_NO_PROGRAM.includes(type);
}

/** The most files to name in a warning. */
const MOST_NAMED = 3;

/**
 * A warning about files that are executable on this machine but not in the guest.
 * @param paths as in {@link InitrdReport.notExecutable}
 */
export function notExecutableWarning(paths: readonly string[]): string | undefined {
  if (paths.length === 0) return undefined;
  const named = paths.slice(0, MOST_NAMED).map((path) => `"${path}"`);
  const more = paths.length > MOST_NAMED ? ` and ${paths.length - MOST_NAMED} more` : '';
  const what = paths.length === 1 ? 'is executable here, but is' : 'are executable here, but are';
  return `${named.join(', ')}${more} ${what} neither an ELF program nor a script that begins with "#!", so not executable in the initramfs: "modes" in initrd.json can change that`;
}

/**
 * Checks the first program. Without one, Linux panics late, with a message that names no file. An initramfs without one is packed with a
 * warning, because the command line may name another program (rdinit=), and some archives are only one of several.
 * @throws IgvmError INITRD_ENTRY for a first program that can't be executed
 */
function checkInit(
  { folder, whereOf }: InitrdOptions,
  entries: readonly InitrdEntry[],
): Pick<InitrdReport, 'withoutInit'> {
  const init = entries.find(({ path }) => path === 'init');
  if (init?.type === 'link') return {};
  const where = whereOf?.([]) ?? { file: folder ?? '' };
  if (init === undefined) {
    const message = `there is no "init" at the top of ${printable(basename(folder ?? 'the image'))}, so Linux panics unless the command line names another program (rdinit=): add one, or set "init" to "x64" or "aarch64" for the program that comes with nx-igvm, or to "none" if this is intended`;
    return { withoutInit: message };
  }
  const isRunnable = init.type === 'file' && (init.permissions === undefined || (init.permissions & 0o111) !== 0);
  if (!isRunnable) {
    const message = `"init", which the kernel starts, ${init.type === 'file' ? 'has a mode that does not allow executing it' : `is a ${init.type}`}`;
    throw new IgvmError('INITRD_ENTRY', message, where, { saysAll: true });
  }
  return {};
}

const noProgram = (file: string): IgvmError => {
  const message = 'the kernel starts this file, but it is neither an ELF program nor a script that begins with "#!"';
  return new IgvmError('INITRD_ENTRY', message, { file }, { saysAll: true });
};

/** Refuses an output inside the folder: the next initramfs would contain this one. @throws IgvmError INITRD_ENTRY, FILE_UNREADABLE */
function checkOutside(folder: string, output: string): void {
  let real: string;
  try {
    real = realpathSync(folder);
  } catch (error) {
    throw unreadable(folder, error);
  }
  const way = relative(real, placeOf(output));
  if (!isAbsolute(way) && way.split(sep)[0] !== '..') {
    throw new IgvmError('INITRD_ENTRY', 'the initramfs would be in the folder that it is packed from', {
      file: output,
    });
  }
}
