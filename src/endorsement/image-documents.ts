import { lstatSync } from 'node:fs';
import { basename } from 'node:path';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { NotRegularError, readRegularFile } from '../files/regular-file';
import type { CorimHeader, IgvmFile, SnpIdBlockDirective } from '../igvm/model';
import { siblingPath } from '../manifest/image-files';
import type { MeasuredPlatform } from '../igvm/platforms';
import { readAll } from '../memory/byte-source';
import { checkSignedIdBlock } from './add-snp-id-block';
import { corimDocument, corimSvn } from './corim';
import { verifyCorimSignature } from './corim-signature';
import { CORIM_SIZE_LIMIT } from './corims';
import { decodeCoseSign1 } from './cose-sign1';
import {
  ID_BLOCK_VERSION,
  identityClaims,
  identityDocument,
  parseSnpIdBlock,
  type SnpIdBlock,
  snpIdBlock,
  type SnpIdentity,
} from './guest-documents';

/** The subject of documents: a guest. */
export interface DocumentedGuest {
  /** Path of the image, from which the documents beside it get their names. Undefined if there are none. */
  image: string | undefined;
  file: IgvmFile;
  platform: MeasuredPlatform;
  compatibilityMask: number;
  /** The launch digest with Hyper-V, upper-case hexadecimal; undefined if Hyper-V can't launch the guest. */
  digest: string | undefined;
  /** The guest policy of SEV-SNP; undefined if the file has none. */
  policy: bigint | undefined;
  /** Whether the guest may be debugged; undefined for VBS, whose files don't state it. */
  debugEnabled: boolean | undefined;
}

/** Facts in documents that don't follow from the image. */
export interface DocumentClaims {
  guestSvn?: number;
  /** For a guest whose file doesn't state it. */
  debugEnabled?: boolean;
  /** The identity in an ID block. */
  identity?: SnpIdentity;
}

/** The documents about a guest, byte for byte as a build writes them. */
export interface GuestDocuments {
  corim: Uint8Array;
  identity: Uint8Array;
  idBlock?: Uint8Array;
}

/** The documents about a guest; undefined when it has no digest or its security version is unknown. */
export function guestDocuments(guest: DocumentedGuest, claims: DocumentClaims): GuestDocuments | undefined {
  const { platform, policy } = guest;
  const { guestSvn, identity } = claims;
  if (guestSvn === undefined || guest.digest === undefined) return undefined;
  const digest = Buffer.from(guest.digest, 'hex');
  const debugEnabled = guest.debugEnabled ?? claims.debugEnabled ?? false;
  const hasIdBlock = platform === 'snp' && policy !== undefined && identity !== undefined;
  return {
    corim: corimDocument(platform, digest, guestSvn),
    identity: identityDocument({ platform, digest, guestSvn, debugEnabled }),
    ...(hasIdBlock ? { idBlock: snpIdBlock({ ...identity, ld: digest, guestSvn, policy }) } : {}),
  };
}

/** A limit in bytes, above the size of all documents that a build writes. */
const DOCUMENT_LIMIT = 64 * 1024;

/** The present documents, in the image and beside it. `other` is something that can't be a document: a link, a folder, a large file. */
interface FoundDocuments {
  corimInImage?: CorimHeader;
  signatureInImage?: CorimHeader;
  idBlocksInImage: SnpIdBlockDirective[];
  corim?: Uint8Array | 'other';
  identity?: Uint8Array | 'other';
  idBlock?: Uint8Array | 'other';
}

function findDocuments({ image, file, platform, compatibilityMask }: DocumentedGuest): FoundDocuments {
  const isOwn = (each: { compatibilityMask: number }): boolean => (each.compatibilityMask & compatibilityMask) !== 0;
  const corims = file.initializations.filter(
    (each): each is CorimHeader => (each.type === 'corimDocument' || each.type === 'corimSignature') && isOwn(each),
  );
  return {
    corimInImage: corims.find(({ type }) => type === 'corimDocument'),
    signatureInImage: corims.find(({ type }) => type === 'corimSignature'),
    idBlocksInImage: file.directives.filter(
      (each): each is SnpIdBlockDirective => each.type === 'snpIdBlock' && isOwn(each),
    ),
    ...(image === undefined ? {} : documentsBeside(image, platform)),
  };
}

const documentsBeside = (
  image: string,
  platform: MeasuredPlatform,
): Pick<FoundDocuments, 'corim' | 'identity' | 'idBlock'> => ({
  corim: readSibling(siblingPath(image, platform, '.cbor')),
  identity: readSibling(siblingPath(image, platform, '.json')),
  idBlock: readSibling(siblingPath(image, platform, '.idblock')),
});

function readSibling(path: string): Uint8Array | undefined | 'other' {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    return stats.isFile() ? readRegularFile(path, { limit: DOCUMENT_LIMIT }) : 'other';
  } catch (error) {
    if (error instanceof NotRegularError) return 'other';
    throw unreadable(path, error);
  }
}

/**
 * The claims in the documents of an image about a guest. They can't be trusted until {@link checkDocuments} has compared every document
 * with the one that follows from them.
 * @param expected the expected claims. Each is used if a document has it or no document has any; otherwise the first document decides
 */
export function claimsOfDocuments(guest: DocumentedGuest, expected: DocumentClaims = {}): DocumentClaims {
  const found = findDocuments(guest);
  const identity = identityClaims(bytesOf(found.identity), guest.platform);
  const blocks = [blockOf(bytesOf(found.idBlock)), ...found.idBlocksInImage].filter((block) => block !== undefined);
  const svns = [corimSvn(embeddedCorim(found)), corimSvn(bytesOf(found.corim)), identity.guestSvn];
  return {
    guestSvn: chosen([...svns, ...blocks.map(({ guestSvn }) => guestSvn)], expected.guestSvn),
    debugEnabled: identity.debugEnabled ?? expected.debugEnabled,
    // Only one document has it, so no other one can confirm the expected value.
    identity: expected.identity ?? blocks.map(({ familyId, imageId }) => ({ familyId, imageId }))[0],
  };
}

/** The expected value if it is among the found ones, or if there are none; otherwise the first one found. */
function chosen(said: readonly (number | undefined)[], expected: number | undefined): number | undefined {
  const known = said.filter((each) => each !== undefined);
  return expected !== undefined && known.includes(expected) ? expected : (known[0] ?? expected);
}

const isSameIdentity = (a: SnpIdentity, b: SnpIdentity): boolean =>
  Buffer.compare(a.familyId, b.familyId) === 0 && Buffer.compare(a.imageId, b.imageId) === 0;

const bytesOf = (document: Uint8Array | 'other' | undefined): Uint8Array =>
  document instanceof Uint8Array ? document : NOTHING;

const embeddedCorim = ({ corimInImage }: FoundDocuments): Uint8Array =>
  corimInImage === undefined || corimInImage.content.size > DOCUMENT_LIMIT
    ? NOTHING
    : readAll(corimInImage.content, DOCUMENT_LIMIT);

const NOTHING = new Uint8Array(0);

/** The claims in the documents beside an image, regardless of those inside. They can't be trusted either. */
export function claimsBeside(image: string, platform: MeasuredPlatform): DocumentClaims {
  const { corim, identity, idBlock } = documentsBeside(image, platform);
  const block = platform === 'snp' ? blockOf(bytesOf(idBlock)) : undefined;
  const { guestSvn = corimSvn(bytesOf(corim)) ?? block?.guestSvn } = identityClaims(bytesOf(identity), platform);
  return {
    ...(guestSvn === undefined ? {} : { guestSvn }),
    ...(block === undefined ? {} : { identity: { familyId: block.familyId, imageId: block.imageId } }),
  };
}

function blockOf(bytes: Uint8Array): SnpIdBlock | undefined {
  try {
    return parseSnpIdBlock(bytes);
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}

/** The result of checking the documents of a guest. */
export interface DocumentCheck {
  /** A sentence for each wrong document; empty if all present documents match the guest. */
  complaints: string[];
  /** A sentence for each signature in the image, with its signer. */
  signers: string[];
}

/**
 * Compares every document about a guest, in the image and beside it, byte for byte with the one that follows from the image and the
 * claims. Also checks the signatures in the image. Missing documents are not an error.
 */
export function checkDocuments(guest: DocumentedGuest, claims: DocumentClaims): DocumentCheck {
  const found = findDocuments(guest);
  const expected = guestDocuments(guest, claims);
  const check: DocumentCheck = { complaints: [], signers: [] };
  const complain = (name: string, why: string | undefined): void => {
    if (why !== undefined) check.complaints.push(`${name} ${why}`);
  };
  const { image, platform } = guest;
  const beside = (extension: string): string => basename(siblingPath(image ?? '', platform, extension));
  const subject = { guest, claims };
  complain(
    beside('.json'),
    complaint(found.identity, expected?.identity, (bytes) => identityComplaint(bytes, subject)),
  );
  complain(
    beside('.cbor'),
    complaint(found.corim, expected?.corim, (bytes) => corimComplaint(bytes, subject)),
  );
  complain(
    beside('.idblock'),
    complaint(found.idBlock, expected?.idBlock, (bytes) => idBlockComplaint(bytes, subject)),
  );
  checkCorimInImage(found, expected, subject, check);
  checkIdBlocksInImage(found, expected, subject, check);
  return check;
}

interface Subject {
  guest: DocumentedGuest;
  claims: DocumentClaims;
}

/** Why a document isn't the expected one; undefined if it is, or if there is none. */
function complaint(
  found: Uint8Array | 'other' | undefined,
  expected: Uint8Array | undefined,
  describe: (bytes: Uint8Array) => string | undefined,
): string | undefined {
  if (found === undefined) return undefined;
  if (found === 'other') return 'was not written by a build';
  if (expected !== undefined && Buffer.compare(found, expected) === 0) return undefined;
  return describe(found) ?? 'differs from the document that a build writes about this image';
}

const ABOUT_ANOTHER = 'is about another image';

const svnComplaint = (found: number, { claims: { guestSvn } }: Subject): string | undefined => {
  if (guestSvn === undefined) return `has security version ${found}, but none is expected`;
  return found === guestSvn ? undefined : `has security version ${found} instead of ${guestSvn}`;
};

function identityComplaint(bytes: Uint8Array, subject: Subject): string | undefined {
  const { guest, claims } = subject;
  const { digest, guestSvn, debugEnabled } = identityClaims(bytes, guest.platform);
  if (digest === undefined || guestSvn === undefined || debugEnabled === undefined) return undefined;
  if (digest !== guest.digest) return ABOUT_ANOTHER;
  const svn = svnComplaint(guestSvn, subject);
  if (svn !== undefined) return svn;
  const expected = guest.debugEnabled ?? claims.debugEnabled ?? false;
  if (debugEnabled === expected) return undefined;
  return debugEnabled ? 'says that the guest may be debugged' : 'says that the guest may not be debugged';
}

function corimComplaint(bytes: Uint8Array, subject: Subject): string | undefined {
  const { platform, digest } = subject.guest;
  const guestSvn = corimSvn(bytes);
  if (guestSvn === undefined || digest === undefined) return undefined;
  const ours = corimDocument(platform, Buffer.from(digest, 'hex'), guestSvn);
  return Buffer.compare(ours, bytes) === 0
    ? svnComplaint(guestSvn, subject)
    : 'endorses something other than this image';
}

function idBlockComplaint(bytes: Uint8Array, subject: Subject): string | undefined {
  const block = blockOf(bytes);
  return block && blockComplaint(block, subject);
}

/** How an ID block differs from the image. The policy is not part of the directive in an image. */
function blockComplaint(
  { ld, version, guestSvn, policy, familyId, imageId }: Omit<SnpIdBlock, 'policy'> & { policy?: bigint },
  subject: Subject,
): string | undefined {
  const { guest, claims } = subject;
  if (Buffer.from(ld).toString('hex').toUpperCase() !== guest.digest) return ABOUT_ANOTHER;
  if (version !== ID_BLOCK_VERSION)
    return `has version ${version}, and the firmware accepts only version ${ID_BLOCK_VERSION}`;
  if (policy !== undefined && policy !== guest.policy) {
    return `has the guest policy 0x${policy.toString(16)}, and the image ${guest.policy === undefined ? 'none' : `0x${guest.policy.toString(16)}`}`;
  }
  const svn = svnComplaint(guestSvn, subject);
  if (svn !== undefined) return svn;
  const { identity } = claims;
  if (identity === undefined) return 'is present, but none is expected';
  return isSameIdentity({ familyId, imageId }, identity) ? undefined : 'names another family or image than expected';
}

function checkCorimInImage(
  { corimInImage, signatureInImage }: FoundDocuments,
  expected: GuestDocuments | undefined,
  subject: Subject,
  { complaints, signers }: DocumentCheck,
): void {
  if (corimInImage === undefined) return;
  const { content } = corimInImage;
  const document = content.size > CORIM_SIZE_LIMIT ? 'other' : readAll(content, CORIM_SIZE_LIMIT);
  const why = complaint(document, expected?.corim, (bytes) => corimComplaint(bytes, subject));
  const name = `the ${subject.guest.platform} CoRIM in the image`;
  if (why !== undefined || document === 'other') {
    complaints.push(`${name} ${why ?? 'is too large'}`);
    return;
  }
  if (signatureInImage === undefined) return;
  try {
    const signature = readAll(signatureInImage.content, CORIM_SIZE_LIMIT);
    if (decodeCoseSign1(signature).hasUnsigned) {
      complaints.push(`${name} has a signature with parts that are not signed (an unprotected header, or a payload)`);
      return;
    }
    signers.push(
      `CoRIM of ${subject.guest.platform} signed by ${verifyCorimSignature(signature, document, { allowRsa2048: true })}`,
    );
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    complaints.push(`${name} has a bad signature: ${error.message}`);
  }
}

function checkIdBlocksInImage(
  { idBlocksInImage }: FoundDocuments,
  expected: GuestDocuments | undefined,
  subject: Subject,
  { complaints, signers }: DocumentCheck,
): void {
  const [block, ...more] = idBlocksInImage;
  if (block === undefined) return;
  const name = 'the SNP ID block in the image';
  if (more.length > 0) {
    complaints.push(`${name} is not the only one`);
    return;
  }
  const why = blockComplaint(block, subject);
  if (why !== undefined) {
    complaints.push(`${name} ${why}`);
    return;
  }
  try {
    const bytes = expected?.idBlock ?? unreachable('a valid ID block where none is expected');
    signers.push(`ID block signed by ${checkSignedIdBlock(block, bytes)}`);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    complaints.push(`${name} ${error.message}`);
  }
}
