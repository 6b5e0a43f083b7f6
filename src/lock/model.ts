import type { PolicyFields } from '../image/policy';
import type { LaunchRequest } from '../manifest/model';
import type { RegionKind } from '../regions/guest-regions';

/** How a guest is launched, as far as its digest depends on it: each of the counts with each of the processors. */
export type LockedLaunch = LaunchRequest;

/** A launch digest, and the launches that give it. */
export interface LockedDigest {
  /** Upper-case hexadecimal. */
  digest: string;
  /** Without: whatever launches the guest. */
  launches?: LockedLaunch[];
}

/** Adjacent pages of a guest that belong together. */
export interface LockedRegion {
  /** Address in hexadecimal, with 0x. */
  gpa: string;
  /** Bytes in hexadecimal, with 0x. */
  size: string;
  kind: RegionKind;
  /** What the headers of its pages say besides the kind. */
  marks?: string[];
  /** Whether the launch digest covers the contents. */
  measured: boolean;
  /** The map file's name for it. */
  tag?: string;
  /** SHA-256 of its contents. */
  sha256?: string;
}

/** SHA-256 of the documents about a guest, lower-case hexadecimal: what a signer is to be handed. */
export interface LockedDocuments {
  corim: string;
  identity: string;
  idBlock?: string;
}

/** What the guest of one platform is. Everything decides. */
export interface LockedPlatform {
  /** Whether the host may debug the guest. */
  debug: boolean;
  /** Security version; absent for an image that no document endorses. */
  svn?: number;
  /** Identity in the ID block, hexadecimal; where there is one. */
  familyId?: string;
  imageId?: string;
  /** Of SEV-SNP. */
  policy?: PolicyFields;
  /** Of TDX. */
  attributes?: PolicyFields;
  highestVtl: number;
  /** Hexadecimal, with 0x. */
  sharedGpaBoundary: string;
  /** Of the digests; absent where there are none. */
  algorithm?: string;
  /** Absent for a platform without launch measurement. */
  digests?: LockedDigest[];
  documents?: LockedDocuments;
  /** Whether the image holds its CoRIM; absent without documents. */
  corimInImage?: boolean;
  headers: Record<string, string>;
  registers: Record<string, string>;
  regions: LockedRegion[];
}

/** What an image is expected to be: the contents of igvm.lock.json. */
export interface MeasurementLock {
  $schema?: string;
  lockVersion: number;
  /** What the file says of itself. */
  file: Record<string, string>;
  /** All platforms of the file by their short names, measured or not. */
  platforms: Record<string, LockedPlatform>;
}
