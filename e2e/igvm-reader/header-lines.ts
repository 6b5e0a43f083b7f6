import { createHash } from 'node:crypto';
import type { Directive, IgvmFile, InitializationHeader } from '../../src/igvm/model';
import type { ByteSource } from '../../src/memory/byte-source';
import { PAGE_SIZE } from '../../src/memory/page';
import type { Measurement } from '../../src/measurement/measure';

type Line = Record<string, unknown>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bits = (value: bigint): string => `0x${value.toString(16)}`;
const read = (source: ByteSource, offset: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  source.read(offset, bytes.subarray(0, Math.max(0, Math.min(size, source.size - offset))));
  return bytes;
};
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The result of our reader, as the lines that the Rust program (src/main.rs) prints for the same file. */
export function headerLines(file: IgvmFile, measurements: readonly Measurement[]): string[] {
  const lines: Line[] = [
    ...file.platforms.map((platform) => ({
      type: 'platform',
      ...platform,
      sharedGpaBoundary: bits(platform.sharedGpaBoundary),
    })),
    ...file.initializations.map(initializationLine),
    ...file.directives.flatMap(directiveLines),
    ...measurements.map(({ compatibilityMask, digest }) => ({
      type: 'measurement',
      compatibilityMask,
      digest: hex(digest),
    })),
    { type: 'end' },
  ];
  return lines.map(canonical);
}

/** One line with sorted keys, so that lines can be compared as text. */
export const canonical = (line: Line): string =>
  JSON.stringify(Object.fromEntries(Object.entries(line).sort(([a], [b]) => (a < b ? -1 : 1))));

function initializationLine(header: InitializationHeader): Line {
  if (header.type === 'guestPolicy') return { ...header, policy: bits(header.policy) };
  if (header.type !== 'corimDocument' && header.type !== 'corimSignature') return { ...header };
  return { ...header, content: hex(read(header.content, 0, header.content.size)) };
}

function directiveLines(directive: Directive): Line[] {
  switch (directive.type) {
    case 'pageData': {
      const { pageCount, content, gpa, ...rest } = directive;
      return Array.from({ length: pageCount }, (_, page) => {
        const offset = page * PAGE_SIZE;
        const data = offset < content.size ? sha256(read(content, offset, PAGE_SIZE)) : 'empty';
        return { ...rest, gpa: gpa + offset, data };
      });
    }
    case 'parameterArea': {
      const { initialData, size } = directive;
      return [{ ...directive, initialData: initialData.size === 0 ? 'empty' : sha256(read(initialData, 0, size)) }];
    }
    case 'vpContext':
      return [{ ...directive, data: sha256(directive.data) }];
    case 'snpIdBlock': {
      const { type, compatibilityMask, version, guestSvn, idKeySignature, idPublicKey } = directive;
      const { ld, familyId, imageId } = directive;
      const bytes = { ld, familyId, imageId, ...idKeySignature, qx: idPublicKey.qx, qy: idPublicKey.qy };
      const hexes = Object.fromEntries(Object.entries(bytes).map(([name, value]) => [name, hex(value)]));
      return [{ type, compatibilityMask, version, guestSvn, ...hexes }];
    }
    default:
      return [{ ...directive }];
  }
}
