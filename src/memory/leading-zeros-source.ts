import type { ByteSource } from './byte-source';

/** `zeros` zero bytes and then `source`: how content starts in the middle of its first page. */
export function leadingZerosSource(zeros: number, source: ByteSource): ByteSource {
  if (zeros === 0) return source;
  return {
    size: zeros + source.size,
    read(offset, target) {
      const blank = Math.min(Math.max(zeros - offset, 0), target.length);
      target.fill(0, 0, blank);
      if (blank < target.length) source.read(offset + blank - zeros, target.subarray(blank));
    },
    ready: source.ready?.bind(source),
    late: source.late,
  };
}
