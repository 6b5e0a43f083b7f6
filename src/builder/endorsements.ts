import { lstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { unreachable } from '../errors/igvm-error';
import type { OutputSet } from '../files/atomic-output';
import { readRegularFile } from '../files/regular-file';
import { isMeasured, type MeasuredPlatform, platformHeader } from '../igvm/platforms';
import type { IgvmFile } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import type { GuestIsolation } from '../loader/guest/guest-platform';
import { siblingPath, SIBLINGS } from '../manifest/image-files';
import type { GuestConfig, Manifest } from '../manifest/model';
import type { LaunchDigests } from '../measurement/launch-digests';
import type { ByteSource } from '../memory/byte-source';
import type { BuiltFile, BuiltMeasurement, OutputKind } from './build-report';
import { guestSpec, isDebuggable, isOvmf } from './load-guest';

/** The guest of one platform, being measured. */
interface EndorsedGuest {
  platform: MeasuredPlatform;
  config: GuestConfig;
  isolation: GuestIsolation;
  compatibilityMask: number;
  measurement: LaunchDigests;
  /** Set when all pages have been measured. */
  digest?: Uint8Array;
}

/** Modules that only guests with isolation need. */
const measure = () => require('../measurement/measure') as typeof import('../measurement/measure');
const corim = () => require('../endorsement/corim') as typeof import('../endorsement/corim');
const documents = () => require('../endorsement/guest-documents') as typeof import('../endorsement/guest-documents');

/** igvmfilegen names everything OpenHCL, except for directly booted Linux. It doesn't know OVMF. */
function identityOf(image: Exclude<GuestConfig['image'], 'none'>): 'openhcl' | 'linuxDirect' | 'ovmf' {
  if ('ovmf' in image) return 'ovmf';
  return 'snp_linux_direct' in image ? 'linuxDirect' : 'openhcl';
}

/** The launch digests of a build's guests and the documents that endorse them. */
export class Endorsements {
  private readonly guests: EndorsedGuest[];

  /**
   * @param file the merged file, with a platform for each of the manifest's guests
   * @throws IgvmError MEASUREMENT_IMPOSSIBLE
   */
  constructor(
    private readonly manifest: Manifest,
    private readonly file: IgvmFile,
  ) {
    this.guests = manifest.guest_configs.flatMap((config): EndorsedGuest[] => {
      const { isolation } = guestSpec(config, manifest.guest_arch);
      const platform = isolation.type;
      if (!isMeasured(platform)) return [];
      const measurement = measure().launchDigests(file, platform);
      const { compatibilityMask } = platformHeader(file, platform);
      return [{ platform, config, isolation, compatibilityMask, measurement }];
    });
  }

  /**
   * The file with a CoRIM for each endorsed guest after its other initialization headers. Their contents are known once
   * everything is measured. The manifest may leave them out: no digest depends on them.
   */
  addTo(file: IgvmFile): IgvmFile {
    // OVMF is meant for QEMU, which can't read an image with CoRIMs.
    const isEmbedded = this.manifest.embed_corim ?? !this.manifest.guest_configs.some(isOvmf);
    if (!isEmbedded) return file;
    const documents = this.guests.map((guest) => ({
      type: 'corimDocument' as const,
      compatibilityMask: guest.compatibilityMask,
      content: this.lateCorim(guest),
    }));
    return { ...file, initializations: [...file.initializations, ...documents] };
  }

  observers(): DirectiveObserver[] {
    return this.guests.map(({ measurement }) => measurement);
  }

  /** Ends the measurements in the background, even after a failure. */
  async close(): Promise<void> {
    await Promise.all(this.guests.map(({ measurement }) => measurement.close()));
  }

  /** Paths of the files that {@link write} makes. */
  paths(output: string): string[] {
    return this.siblings().map(({ guest, extension }) => siblingPath(output, guest.platform, extension));
  }

  /** Writes the files beside the image. */
  async write(output: string, outputs: OutputSet): Promise<BuiltFile[]> {
    const files: BuiltFile[] = [];
    for (const { guest, kind, extension } of this.siblings()) {
      const path = siblingPath(output, guest.platform, extension);
      const bytes = await this.document(guest, kind);
      await outputs.add(path).writeAll(bytes);
      files.push({ kind, path, size: bytes.length });
    }
    return files;
  }

  /** The digests, after {@link write}. */
  measurements(): BuiltMeasurement[] {
    return this.guests.map(({ platform, digest = unreachable('nothing was measured') }) => ({ platform, digest }));
  }

  private siblings() {
    return this.guests.flatMap((guest) =>
      SIBLINGS.filter(({ platforms }) => platforms.includes(guest.platform)).map((sibling) => ({ guest, ...sibling })),
    );
  }

  private async document(guest: EndorsedGuest, kind: OutputKind): Promise<Uint8Array> {
    const { platform, config, isolation, compatibilityMask } = guest;
    const { guest_svn: guestSvn, image } = config;
    const digest = await this.digestOf(guest);
    switch (kind) {
      case 'corim':
        return corim().corimDocument(platform, digest, guestSvn);
      case 'identity':
        return documents().identityDocument({ platform, digest, guestSvn, debugEnabled: isDebuggable(isolation) });
      case 'idBlock': {
        const { guestPolicy, SNP_IDENTITY, snpIdBlock } = documents();
        const policy = guestPolicy(this.file, compatibilityMask) ?? unreachable('an SNP guest without policy');
        const ids = SNP_IDENTITY[image === 'none' ? 'openhcl' : identityOf(image)];
        return snpIdBlock({ ...ids, ld: digest, guestSvn, policy });
      }
      default:
        return unreachable(`no endorsement is a ${kind}`);
    }
  }

  private lateCorim(guest: EndorsedGuest): ByteSource {
    let document: Uint8Array | undefined;
    return {
      size: corim().corimDocumentSize(guest.platform, guest.config.guest_svn),
      late: true,
      ready: async () => {
        document = await this.document(guest, 'corim');
      },
      read(offset, target) {
        if (document === undefined) unreachable('a CoRIM was read before its guest was measured');
        target.set(document.subarray(offset, offset + target.length));
      },
    };
  }

  private async digestOf(guest: EndorsedGuest): Promise<Uint8Array> {
    guest.digest ??= await measure().endorsedDigest(guest.measurement);
    return guest.digest;
  }
}

/** Larger than any sibling; a larger file with such a name is something else. Bytes. */
const SIBLING_LIMIT = 64 * 1024;

/**
 * Siblings for platforms that the image had in an earlier build but no longer has: they would endorse an image that no
 * longer exists. As a name alone proves nothing, only files whose contents are recognisably ours are returned.
 * @param output path of the image
 * @param kept paths that must stay: the build's outputs and inputs
 */
export function formerSiblings(output: string, kept: readonly string[]): string[] {
  const others = new Set(kept.map((path) => resolve(path)));
  return SIBLINGS.flatMap(({ kind, extension, platforms }) =>
    platforms
      .map((platform) => ({ platform, path: siblingPath(output, platform, extension) }))
      .filter(({ platform, path }) => !others.has(resolve(path)) && isOwn(path, kind, platform))
      .map(({ path }) => path),
  );
}

function isOwn(path: string, kind: OutputKind, platform: MeasuredPlatform): boolean {
  let bytes: Uint8Array;
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isFile()) return false;
    bytes = readRegularFile(path, { limit: SIBLING_LIMIT });
  } catch {
    // An unreadable file may belong to someone else.
    return false;
  }
  return isOfKind(bytes, kind, platform);
}

function isOfKind(bytes: Uint8Array, kind: OutputKind, platform: MeasuredPlatform): boolean {
  switch (kind) {
    case 'identity':
      return documents().isIdentityDocument(bytes, platform);
    case 'corim':
      return corim().isCorimDocument(bytes, platform);
    case 'idBlock':
      return documents().isOwnIdBlock(bytes);
    default:
      return false;
  }
}
