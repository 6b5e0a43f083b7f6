import { IgvmError } from '../errors/igvm-error';
import type { IgvmSink } from '../igvm/file-data';
import { alignUp, PAGE_SIZE } from '../memory/page';
import type { PageRange } from './guest-pages';

const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
/** e_phnum 0xffff means something else (ELF gABI, PN_XNUM). */
const MOST_PROGRAM_HEADERS = 0xfffe;

const ELF = { executable: 2, x86_64: 62, currentVersion: 1 } as const;
const PROGRAM = { load: 1, note: 4, readable: 4, all: 7 } as const;

/** XEN_ELFNOTE_PHYS32_ENTRY (Xen, public/elfnote.h): the address at which a PVH boot enters the kernel. */
const PVH_NOTE = { type: 18, owner: 'Xen\0' } as const;
const NOTE_SIZE = 20;

/** Bytes copied at a time. */
const CHUNK = 1 << 20;

/** A segment in the file. Adjacent guest ranges share one segment. */
interface Segment {
  gpa: number;
  memorySize: number;
  fileOffset: number;
  fileSize: number;
  ranges: PageRange[];
}

/**
 * Writes guest pages as an ELF kernel that PVH VMMs load: a segment for each contiguous range of memory, whose trailing zeros are not part
 * of the file, and a note with the entry point. Memory use doesn't depend on the sizes.
 * @param ranges ascending
 * @param entry 32-bit entry point, a GPA
 * @returns size of the file in bytes
 * @throws IgvmError BOOT_LAYOUT when there are more ranges than an ELF file can have
 */
export async function writePvhElf(sink: IgvmSink, ranges: readonly PageRange[], entry: number): Promise<number> {
  const segments = segmentsOf(ranges);
  if (segments.length + 1 > MOST_PROGRAM_HEADERS) {
    throw new IgvmError('BOOT_LAYOUT', `the pages lie in ${segments.length} separate places, too many for an ELF file`);
  }
  const noteOffset = HEADER_SIZE + (segments.length + 1) * PROGRAM_HEADER_SIZE;
  let end = alignUp(noteOffset + NOTE_SIZE, PAGE_SIZE);
  for (const segment of segments) {
    segment.fileOffset = end;
    end += alignUp(segment.fileSize, PAGE_SIZE);
  }
  await sink.write(0, headers(segments, noteOffset, entry));
  // This gives the file the length in its headers even if it ends in a hole.
  await sink.write(end - 1, new Uint8Array(1));
  for (const segment of segments) {
    for (const { gpa, content } of segment.ranges) {
      await copy(content, sink, segment.fileOffset + gpa - segment.gpa);
    }
  }
  return end;
}

/** Merges ranges that touch, unless the first ends in pages without content: those are left out of the file. */
function segmentsOf(ranges: readonly PageRange[]): Segment[] {
  const segments: Segment[] = [];
  for (const range of ranges) {
    const last = segments.at(-1);
    const contentPages = alignUp(range.content.size, PAGE_SIZE);
    if (last !== undefined && last.gpa + last.memorySize === range.gpa && isFilled(last)) {
      last.memorySize += range.size;
      last.fileSize = range.gpa - last.gpa + contentPages;
      last.ranges.push(range);
    } else {
      // VMMs skip segments without file data, and some of them don't clear the rest of memory, so keep at least a page.
      const fileSize = Math.max(contentPages, PAGE_SIZE);
      segments.push({ gpa: range.gpa, memorySize: range.size, fileOffset: 0, fileSize, ranges: [range] });
    }
  }
  return segments;
}

const isFilled = ({ memorySize, fileSize }: Segment): boolean => memorySize === fileSize;

function headers(segments: readonly Segment[], noteOffset: number, entry: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(noteOffset + NOTE_SIZE));
  const bytes = new Uint8Array(view.buffer);
  // Magic, 64 bits, little-endian, version 1.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, ELF.currentVersion]);
  view.setUint16(16, ELF.executable, true);
  view.setUint16(18, ELF.x86_64, true);
  view.setUint32(20, ELF.currentVersion, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, BigInt(HEADER_SIZE), true);
  view.setUint16(52, HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, segments.length + 1, true);

  let at = HEADER_SIZE;
  const programHeader = (type: number, flags: number, fields: readonly number[]): void => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    for (const [index, field] of fields.entries()) view.setBigUint64(at + 8 + index * 8, BigInt(field), true);
    at += PROGRAM_HEADER_SIZE;
  };
  // offset, virtual and physical address, size in the file and in memory, alignment
  programHeader(PROGRAM.note, PROGRAM.readable, [noteOffset, 0, 0, NOTE_SIZE, NOTE_SIZE, 4]);
  for (const { gpa, memorySize, fileOffset, fileSize } of segments) {
    programHeader(PROGRAM.load, PROGRAM.all, [fileOffset, gpa, gpa, fileSize, memorySize, PAGE_SIZE]);
  }

  view.setUint32(at, PVH_NOTE.owner.length, true);
  view.setUint32(at + 4, 4, true);
  view.setUint32(at + 8, PVH_NOTE.type, true);
  bytes.set(new TextEncoder().encode(PVH_NOTE.owner), at + 12);
  view.setUint32(at + 16, entry, true);
  return bytes;
}

async function copy(content: PageRange['content'], sink: IgvmSink, offset: number): Promise<void> {
  await content.ready?.();
  const buffer = new Uint8Array(Math.min(CHUNK, content.size));
  for (let done = 0; done < content.size; done += CHUNK) {
    const chunk = buffer.subarray(0, Math.min(CHUNK, content.size - done));
    content.read(done, chunk);
    await sink.write(offset + done, chunk);
  }
}
