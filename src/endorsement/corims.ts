import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { platformTypeName } from '../igvm/dump';
import { type MeasuredPlatform, measuredPlatformOf, platformHeader } from '../igvm/platforms';
import type { IgvmFile, PlatformHeader } from '../igvm/model';
import { type ByteSource, readAll } from '../memory/byte-source';

/** A limit in bytes, above the size of CoRIM documents and signatures of all known tools. */
export const CORIM_SIZE_LIMIT = 16 * 2 ** 20;

/** A CoRIM of an image. */
export interface Corim {
  kind: 'document' | 'signature';
  compatibilityMask: number;
  /** Short name of its platform, as in file names. */
  platform: string;
  /** All platforms of the mask, by the names of the format. */
  platformTypes: string;
  content: ByteSource;
}

/** Filters for the list. Default: all. */
export interface CorimFilter {
  kind?: Corim['kind'];
  platform?: MeasuredPlatform;
}

/**
 * The CoRIM documents and signatures of an image, in the order of its headers.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE when the file doesn't have the platform
 */
export function corimsOf(file: IgvmFile, filter: CorimFilter = {}): Corim[] {
  const mask = filter.platform === undefined ? undefined : platformHeader(file, filter.platform).compatibilityMask;
  const corims: Corim[] = [];
  for (const header of file.initializations) {
    if (header.type !== 'corimDocument' && header.type !== 'corimSignature') continue;
    const kind = header.type === 'corimDocument' ? 'document' : 'signature';
    const { compatibilityMask, content } = header;
    if (filter.kind !== undefined && filter.kind !== kind) continue;
    if (mask !== undefined && (compatibilityMask & mask) === 0) continue;
    const platform = shortName(file.platforms, compatibilityMask);
    corims.push({
      kind,
      compatibilityMask,
      platform,
      platformTypes: typeNames(file.platforms, compatibilityMask),
      content,
    });
  }
  return corims;
}

/** The name of the file for an extracted CoRIM. */
export const corimFileName = ({ kind, platform }: Corim): string =>
  `corim_${kind}_${platform}.${kind === 'document' ? 'cbor' : 'cose'}`;

/** The listing of the reference's dump-corim (openvmm igvmfilegen/src/main.rs: dump_corim_headers). */
export function corimText(
  file: IgvmFile,
  { path, size }: { path: string; size: number },
  corims: readonly Corim[],
  outputOf?: (corim: Corim) => string,
): string {
  const lines = [`IGVM File: ${printable(path)}`, `Total file size: ${size} bytes`, ''];
  if (file.platforms.length > 0) {
    lines.push('Supported Platforms:');
    for (const { platformType, compatibilityMask } of file.platforms) {
      lines.push(`  ${platformTypeName(platformType)} -> compatibility_mask ${hex(compatibilityMask)}`);
    }
    lines.push('');
  }
  for (const corim of corims) {
    lines.push(`CoRIM ${corim.kind === 'document' ? 'Document' : 'Signature'} (${corim.platform}):`);
    lines.push(`  Compatibility Mask: ${hex(corim.compatibilityMask)} (${corim.platformTypes})`);
    lines.push(`  Size: ${corim.content.size} bytes`);
    if (outputOf !== undefined) lines.push(`  Output: ${printable(outputOf(corim))}`);
    lines.push('');
  }
  const documents = corims.filter(({ kind }) => kind === 'document').length;
  lines.push(
    corims.length === 0
      ? 'No CoRIM headers found matching the specified filters.'
      : `Summary: ${documents} document header(s), ${corims.length - documents} signature header(s)`,
  );
  return `${lines.join('\n')}\n`;
}

const hex = (mask: number): string => `0x${mask.toString(16).toUpperCase()}`;

function shortName(platforms: readonly PlatformHeader[], mask: number): string {
  const header = platforms.find(({ compatibilityMask }) => compatibilityMask === mask);
  if (header === undefined) return `mask_0x${mask.toString(16)}`;
  return measuredPlatformOf(header) ?? `platform_${platformTypeName(header.platformType)}`;
}

const typeNames = (platforms: readonly PlatformHeader[], mask: number): string =>
  platforms
    .filter(({ compatibilityMask }) => (compatibilityMask & mask) !== 0)
    .map(({ platformType }) => platformTypeName(platformType))
    .join(', ') || 'Unknown';

/** The CoRIMs that were found, and the files that were written. */
export interface CorimListing {
  /** For people. */
  text: string;
  corims: (Omit<Corim, 'content'> & { size: number; output?: string })[];
}

/**
 * Lists the CoRIMs of an image or firmware DLL, and writes them to `folder` if one is given.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, IGVM_INVALID, FILE_UNWRITABLE, and what reading the image throws
 */
export async function extractCorims(
  image: { path: string; display: string },
  filter: CorimFilter,
  folder?: { path: string; display: string },
): Promise<CorimListing> {
  const outputs = createOutputSet();
  try {
    const listing = await withImage(image.path, async ({ file, source }) => {
      const corims = corimsOf(file, filter);
      const display = (corim: Corim): string => join(folder?.display ?? '', corimFileName(corim));
      if (folder !== undefined) {
        checkExtractable(corims, source.size);
        for (const corim of corims) {
          const output = outputs.add(join(folder.path, corimFileName(corim)));
          await output.writeAll(readAll(corim.content, CORIM_SIZE_LIMIT));
        }
      }
      return {
        text: corimText(file, { path: image.display, size: source.size }, corims, folder && display),
        corims: corims.map(({ content, ...corim }) => ({
          ...corim,
          size: content.size,
          ...(folder === undefined ? {} : { output: display({ ...corim, content }) }),
        })),
      };
    });
    await outputs.commit();
    return listing;
  } finally {
    await outputs.abort();
  }
}

/**
 * Checks that the CoRIMs can be extracted. Headers may share contents, so that a small file could fill a disk, and two CoRIMs with the
 * same name would overwrite each other.
 * @param fileSize in bytes
 * @throws IgvmError IGVM_INVALID
 */
function checkExtractable(corims: readonly Corim[], fileSize: number): void {
  const names = new Set<string>();
  let size = 0;
  for (const corim of corims) {
    const { kind, compatibilityMask, content } = corim;
    if (compatibilityMask === 0) throw new IgvmError('IGVM_INVALID', `a CoRIM ${kind} does not name a platform`);
    const name = corimFileName(corim);
    if (names.has(name)) throw new IgvmError('IGVM_INVALID', `two CoRIMs would be extracted to ${name}`);
    names.add(name);
    size += content.size;
    if (size > fileSize) throw new IgvmError('IGVM_INVALID', `its CoRIMs have more bytes than the file (${fileSize})`);
  }
}
