/** The documents about a guest that don't need CBOR: the identity document, and the SNP ID block. A build writes them beside the image. */
import { IgvmError } from '../errors/igvm-error';
import { digestHex } from '../errors/printable';
import type { MeasuredPlatform } from '../igvm/platforms';
import type { IgvmFile } from '../igvm/model';
import { isForPlatform } from '../measurement/launch-digests';

/** Class of the environment, the same in all documents (openvmm igvmfilegen/src/identity_mapping.rs). */
const CLASS_ID = '7fb00ee4-a7ff-11ed-9e2f-00155d09de56';

/** Names of the digest and of the security version in the document. */
const KEYS: Record<MeasuredPlatform, { digest: string; svn: string }> = {
  snp: { digest: 'snp_ld', svn: 'snp_isvsvn' },
  tdx: { digest: 'tdx_mrtd', svn: 'tdx_isvsvn' },
  vbs: { digest: 'vbs_boot_digest', svn: 'vbs_isvsvn' },
};

/** The contents of an endorsement of a guest. */
export interface GuestEndorsement {
  platform: MeasuredPlatform;
  digest: Uint8Array;
  /** u32. */
  guestSvn: number;
  /** Whether the guest may be debugged. */
  debugEnabled: boolean;
}

/**
 * The identity document of a guest, `IMAGE-PLATFORM.json`, with its launch digest and its security version. Compact JSON with a newline
 * at the end, byte for byte as igvmfilegen writes it.
 */
export function identityDocument({ platform, digest, guestSvn, debugEnabled }: GuestEndorsement): Uint8Array {
  const keys = KEYS[platform];
  const document = {
    environment: { class_id: CLASS_ID },
    series: [
      {
        reference: { [keys.digest]: digestHex(digest) },
        endorsement: { [keys.svn]: guestSvn, build_info: { debug_build: debugEnabled } },
      },
    ],
  };
  return Buffer.from(`${JSON.stringify(document)}\n`);
}

/** The unverified contents of an identity document. To trust them, generate the document again and compare. */
export interface IdentityClaims {
  /** Upper-case hexadecimal. */
  digest?: string;
  guestSvn?: number;
  debugEnabled?: boolean;
}

/** The contents of a file that should be an identity document; empty if it has none. */
export function identityClaims(document: Uint8Array, platform: MeasuredPlatform): IdentityClaims {
  try {
    const { series } = JSON.parse(Buffer.from(document).toString('utf8')) as {
      series?: {
        reference?: Record<string, unknown>;
        endorsement?: Record<string, unknown> & { build_info?: { debug_build?: unknown } };
      }[];
    };
    const { reference, endorsement } = series?.[0] ?? {};
    const [digest, guestSvn] = [reference?.[KEYS[platform].digest], endorsement?.[KEYS[platform].svn]];
    const debugEnabled = endorsement?.build_info?.debug_build;
    return {
      ...(typeof digest === 'string' ? { digest: digest.toUpperCase() } : {}),
      ...(isSvn(guestSvn) ? { guestSvn } : {}),
      ...(typeof debugEnabled === 'boolean' ? { debugEnabled } : {}),
    };
  } catch {
    return {};
  }
}

const isSvn = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;

/** Whether a file is an identity document for the platform, byte for byte as {@link identityDocument} writes it. */
export function isIdentityDocument(bytes: Uint8Array, platform: MeasuredPlatform): boolean {
  const { digest, guestSvn, debugEnabled } = identityClaims(bytes, platform);
  if (digest === undefined || !/^(?:[0-9A-F]{2}){32,48}$/.test(digest)) return false;
  if (guestSvn === undefined || debugEnabled === undefined) return false;
  const document = identityDocument({ platform, digest: Buffer.from(digest, 'hex'), guestSvn, debugEnabled });
  return Buffer.compare(document, bytes) === 0;
}

/** Family and image IDs of a guest, 16 bytes each. They are part of its attested identity, so they never change. */
export interface SnpIdentity {
  familyId: Uint8Array;
  imageId: Uint8Array;
}

const text16 = (text: string): Uint8Array => {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
};

/**
 * The identities of igvmfilegen (openvmm igvmfilegen/src/snp_id_block.rs) for directly booted Linux and for all other guests, and our own
 * for OVMF, whose family is QEMU's default.
 */
export const SNP_IDENTITY = {
  openhcl: { familyId: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), imageId: text16('openhcl') },
  linuxDirect: { familyId: text16('OpenVMM SNP test'), imageId: text16('linux-direct') },
  ovmf: { familyId: new Uint8Array(16), imageId: text16('ovmf') },
} as const satisfies Record<string, SnpIdentity>;

/** Bytes of an ID block. */
const ID_BLOCK_SIZE = 96;

/** The only version that the firmware accepts. */
export const ID_BLOCK_VERSION = 1;

/** The SNP ID block (SEV-SNP firmware ABI, table 75). It is signed, and the firmware compares a launch with it. */
export interface SnpIdBlock extends SnpIdentity {
  /** Launch digest, 48 bytes. */
  ld: Uint8Array;
  version: number;
  /** u32. */
  guestSvn: number;
  /** u64, the guest policy with its debug bit. */
  policy: bigint;
}

/** The bytes of the ID block, `IMAGE-snp.idblock`: exactly those that are signed and whose signature the firmware checks. */
export function snpIdBlock(block: Omit<SnpIdBlock, 'version'>): Uint8Array {
  const bytes = new Uint8Array(ID_BLOCK_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(block.ld.subarray(0, 48), 0);
  bytes.set(block.familyId, 48);
  bytes.set(block.imageId, 64);
  view.setUint32(80, ID_BLOCK_VERSION, true);
  view.setUint32(84, block.guestSvn, true);
  view.setBigUint64(88, block.policy, true);
  return bytes;
}

/** @throws IgvmError ID_BLOCK_INVALID unless there are exactly 96 bytes */
export function parseSnpIdBlock(bytes: Uint8Array): SnpIdBlock {
  if (bytes.length !== ID_BLOCK_SIZE) {
    throw new IgvmError('ID_BLOCK_INVALID', `an ID block has ${ID_BLOCK_SIZE} bytes, not ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    ld: bytes.slice(0, 48),
    familyId: bytes.slice(48, 64),
    imageId: bytes.slice(64, 80),
    version: view.getUint32(80, true),
    guestSvn: view.getUint32(84, true),
    policy: view.getBigUint64(88, true),
  };
}

/** The guest policy of a platform; undefined when the file has none for it. */
export function guestPolicy(file: Pick<IgvmFile, 'initializations'>, compatibilityMask: number): bigint | undefined {
  for (const header of file.initializations) {
    if (header.type === 'guestPolicy' && isForPlatform(header, compatibilityMask)) return header.policy;
  }
  return undefined;
}

/** Whether a file is an ID block with one of the identities that we use. */
export function isOwnIdBlock(bytes: Uint8Array): boolean {
  if (bytes.length !== ID_BLOCK_SIZE) return false;
  const { version, familyId, imageId } = parseSnpIdBlock(bytes);
  const isEqual = (own: SnpIdentity) =>
    Buffer.compare(own.familyId, familyId) === 0 && Buffer.compare(own.imageId, imageId) === 0;
  return version === ID_BLOCK_VERSION && Object.values(SNP_IDENTITY).some(isEqual);
}
