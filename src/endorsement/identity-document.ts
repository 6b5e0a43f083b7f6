import { digestHex } from '../errors/printable';
import type { MeasuredPlatform } from '../igvm/isolation';

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
