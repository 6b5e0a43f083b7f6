import { platformTypeName } from '../igvm/dump';
import type { IgvmFile, PlatformHeader } from '../igvm/model';
import type { ByteSource } from '../memory/byte-source';
import { type MeasuredPlatform, measuredPlatformOf, platformHeader } from '../igvm/isolation';
import { printable } from '../errors/printable';

/** Bytes: more than a CoRIM document or signature of any known tool has. */
export const CORIM_SIZE_LIMIT = 16 * 2 ** 20;

/** A CoRIM of an image. */
export interface Corim {
  kind: 'document' | 'signature';
  compatibilityMask: number;
  /** Short name of its platform, as in the names of files. */
  platform: string;
  /** All platforms of the mask, by the names of the format. */
  platformTypes: string;
  content: ByteSource;
}

/** What to list; all when nothing is given. */
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

/** Name of the file that a CoRIM is extracted to. */
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
