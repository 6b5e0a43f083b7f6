import type { ErrorCode } from '../errors/codes';
import { IgvmError } from '../errors/igvm-error';
import { checkNotInputs } from '../files/atomic-output';
import { openFileSource } from '../files/file-source';
import { rewriteImage } from '../files/igvm-image';
import { loadManifest } from '../manifest/load-manifest';
import type { GuestConfig } from '../manifest/model';
import type { MeasuredPlatform } from '../igvm/platforms';
import { readAll } from '../memory/byte-source';
import { type KnownGuest, type SnpIdBlockSigner, withSnpIdBlock } from './add-snp-id-block';
import { type CorimSignature, type SignatureOptions, withCorimSignature } from './corim-signature';
import { parseEcdsaSignature, parseP384PublicKey } from './ecdsa-p384';
import { claimsBeside } from './image-documents';
import { parseSnpIdBlock, SNP_IDENTITY, type SnpIdentity } from './guest-documents';

/** A limit in bytes, above the size of keys, signatures and blocks. */
const SMALL_FILE_LIMIT = 16 * 2 ** 20;

/** The default path for the signed copy of an image. */
export const signedPath = (image: string): string => `${image.replace(/\.igvm$/i, '')}-signed.igvm`;

/** The source of an ID block. All values are paths. */
export type SnpIdBlockSource =
  | { kind: 'outOfBand'; idBlock: string; signature: string; publicKey: string }
  /** Signs with a temporary key, and uses the identity of OpenHCL. */
  | { kind: 'guestSvn'; guestSvn: number }
  /** Signs with a temporary key, and uses the security version and identity of the manifest's SNP guest. */
  | { kind: 'manifest'; path: string };

/** The path of a signature for a platform's CoRIM document. */
export interface CorimSignatureSource {
  platform: MeasuredPlatform;
  signature: { kind: CorimSignature['kind']; path: string };
}

/** One or both signatures of an image. */
export interface SignRequest {
  input: string;
  /** May be the input. */
  output: string;
  idBlock?: SnpIdBlockSource;
  corim?: CorimSignatureSource & SignatureOptions;
  /** Path of the image's manifest, whose security version and identity the signed documents must have. */
  manifest?: string;
}

/** The result of signing. */
export interface SignReport {
  /** A sentence for each signature, with its signer. */
  signers: string[];
}

/**
 * Writes a signed copy of an image, with all requested signatures or not at all. Refuses documents that contradict the image, its manifest
 * or the documents beside it. See {@link withSnpIdBlock} and {@link withCorimSignature}.
 * @throws IgvmError also MANIFEST_… for the manifest, FILE_UNREADABLE, FILE_UNWRITABLE also for a key or signature as output
 */
export async function signImage({ input, output, idBlock, corim, manifest }: SignRequest): Promise<SignReport> {
  const sources = [...pathsOf(idBlock), ...(corim === undefined ? [] : [corim.signature.path])];
  checkNotInputs([output], [...sources, ...(manifest === undefined ? [] : [manifest])]);
  const signer = idBlock && signerOf(idBlock);
  const bytes = corim && readSmallFile(corim.signature.path, 'CORIM_SIGNATURE_INVALID');
  const guests = manifest === undefined ? [] : loadManifest(manifest).manifest.guest_configs;
  const knownOf = (platform: MeasuredPlatform): KnownGuest => ({
    ...claimsBeside(input, platform),
    ...(guests.length === 0 ? {} : knownOfManifest(guests, platform)),
  });
  const signers: string[] = [];
  await rewriteImage(input, output, async (file) => {
    let signed = file;
    if (corim !== undefined && bytes !== undefined) {
      const { platform, signature, allowRsa2048 } = corim;
      const added = await about(signature.path, 'CORIM_SIGNATURE_INVALID', () =>
        withCorimSignature(file, platform, { kind: signature.kind, bytes }, { allowRsa2048, ...knownOf(platform) }),
      );
      signed = added.file;
      signers.push(`CoRIM of ${platform} signed by ${added.signer}`);
    }
    if (idBlock === undefined || signer === undefined) return signed;
    const added = await about(idBlock.kind === 'outOfBand' ? idBlock.idBlock : undefined, 'ID_BLOCK_INVALID', () =>
      withSnpIdBlock(signed, signer, knownOf('snp')),
    );
    signers.push(`ID block signed by ${added.signer}`);
    return added.file;
  });
  return { signers };
}

/** The facts about the guest for a platform in a manifest; empty unless there is exactly one. */
function knownOfManifest(guests: readonly GuestConfig[], platform: MeasuredPlatform): KnownGuest {
  const own = guests.filter(({ isolation_type: type }) => typeof type === 'object' && platform in type);
  const [guest] = own;
  if (guest === undefined || own.length > 1) return {};
  return { guestSvn: guest.guest_svn, ...(platform === 'snp' ? { identity: identityOf(guest) } : {}) };
}

const identityOf = ({ image }: GuestConfig): SnpIdentity =>
  typeof image === 'object' && 'snp_linux_direct' in image ? SNP_IDENTITY.linuxDirect : SNP_IDENTITY.openhcl;

/** Adds a signed SNP ID block to an image. */
export const addSnpIdBlock = ({
  source,
  ...request
}: Pick<SignRequest, 'input' | 'output' | 'manifest'> & { source: SnpIdBlockSource }): Promise<SignReport> =>
  signImage({ ...request, idBlock: source });

/** Adds a signature for a platform's CoRIM document to an image. */
export const patchCorimSignature = ({
  input,
  output,
  manifest,
  ...corim
}: Pick<SignRequest, 'input' | 'output' | 'manifest'> & CorimSignatureSource & SignatureOptions): Promise<SignReport> =>
  signImage({ input, output, manifest, corim });

function pathsOf(source: SnpIdBlockSource | undefined): string[] {
  switch (source?.kind) {
    case 'outOfBand':
      return [source.idBlock, source.signature, source.publicKey];
    case 'manifest':
      return [source.path];
    default:
      return [];
  }
}

/** Adds the name of the signed file to an error about it. Other errors are about the image. */
async function about<T>(path: string | undefined, code: ErrorCode, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw error instanceof IgvmError && error.code === code ? error.at({ file: path }) : error;
  }
}

function signerOf(source: SnpIdBlockSource): SnpIdBlockSigner {
  switch (source.kind) {
    case 'outOfBand':
      return {
        kind: 'outOfBand',
        idBlock: readIdBlockPart(source.idBlock, parseSnpIdBlock),
        signature: readIdBlockPart(source.signature, parseEcdsaSignature),
        publicKey: readIdBlockPart(source.publicKey, parseP384PublicKey),
      };
    case 'guestSvn':
      return { kind: 'temporaryKey', guestSvn: source.guestSvn, identity: SNP_IDENTITY.openhcl };
    case 'manifest':
      return signerOfManifest(source.path);
  }
}

function signerOfManifest(path: string): SnpIdBlockSigner {
  const { guest_configs: configs } = loadManifest(path).manifest;
  const guests = configs.filter(({ isolation_type: isolation }) => typeof isolation === 'object' && 'snp' in isolation);
  const [guest] = guests;
  if (guest === undefined || guests.length > 1) {
    throw new IgvmError(
      'MANIFEST_CONFLICT',
      `an ID block needs a manifest with one SEV-SNP guest, and this one has ${guests.length}`,
      {
        file: path,
      },
    );
  }
  return { kind: 'temporaryKey', guestSvn: guest.guest_svn, identity: identityOf(guest) };
}

/** The bytes of a file, which `parse` checks. An error names this file rather than another one of the three. */
function readIdBlockPart(path: string, parse: (bytes: Uint8Array) => unknown): Uint8Array {
  const bytes = readSmallFile(path, 'ID_BLOCK_INVALID');
  try {
    parse(bytes);
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: path }) : error;
  }
  return bytes;
}

function readSmallFile(path: string, code: 'ID_BLOCK_INVALID' | 'CORIM_SIGNATURE_INVALID'): Uint8Array {
  const source = openFileSource(path);
  try {
    if (source.size > SMALL_FILE_LIMIT) {
      throw new IgvmError(code, `has ${source.size} bytes, too many for a signature or key`, { file: path });
    }
    return readAll(source, SMALL_FILE_LIMIT);
  } finally {
    source.close();
  }
}
