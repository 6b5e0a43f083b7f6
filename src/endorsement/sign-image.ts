import type { ErrorCode } from '../errors/codes';
import { IgvmError } from '../errors/igvm-error';
import { checkNotInputs } from '../files/check-not-inputs';
import { openFileSource } from '../files/file-source';
import { rewriteImage } from '../files/igvm-image';
import { loadManifest } from '../manifest/load-manifest';
import type { MeasuredPlatform } from '../measurement/measured-platform';
import { readAll } from '../memory/byte-source';
import { type SnpIdBlockSigner, withSnpIdBlock } from './add-snp-id-block';
import { type CorimSignature, withCorimSignature } from './corim-signature';
import { parseEcdsaSignature, parseP384PublicKey } from './ecdsa-p384';
import { parseSnpIdBlock, SNP_IDENTITY } from './snp-id-block';

/** Keys, signatures and blocks are small; a larger file is something else. */
const SMALL_FILE_LIMIT = 16 * 2 ** 20;

/** Where the signed copy of an image goes unless something else is said. */
export const signedPath = (image: string): string => `${image.replace(/\.igvm$/i, '')}-signed.igvm`;

/** Where an ID block comes from; all paths. */
export type SnpIdBlockSource =
  | { kind: 'outOfBand'; idBlock: string; signature: string; publicKey: string }
  /** A temporary key, and the identity of OpenHCL. */
  | { kind: 'guestSvn'; guestSvn: number }
  /** A temporary key; security version and identity of the manifest's SNP guest. */
  | { kind: 'manifest'; path: string };

/** A signature for a platform's CoRIM document; a path. */
export interface CorimSignatureSource {
  platform: MeasuredPlatform;
  signature: { kind: CorimSignature['kind']; path: string };
}

/** One or both of the signatures that an image can have. */
export interface SignRequest {
  input: string;
  /** May be the input. */
  output: string;
  idBlock?: SnpIdBlockSource;
  corim?: CorimSignatureSource;
}

/**
 * Writes a signed copy of an image: with all that was asked for, or not at all. See {@link withSnpIdBlock} and
 * {@link withCorimSignature}.
 * @throws IgvmError also MANIFEST_… for the manifest, FILE_UNREADABLE, FILE_UNWRITABLE also for a key or signature as output
 */
export async function signImage({ input, output, idBlock, corim }: SignRequest): Promise<void> {
  checkNotInputs([output], [...pathsOf(idBlock), ...(corim === undefined ? [] : [corim.signature.path])]);
  const signer = idBlock && signerOf(idBlock);
  const bytes = corim && readSmallFile(corim.signature.path, 'CORIM_SIGNATURE_INVALID');
  await rewriteImage(input, output, async (file) => {
    let signed = file;
    if (corim !== undefined && bytes !== undefined) {
      const { platform, signature } = corim;
      signed = await about(signature.path, 'CORIM_SIGNATURE_INVALID', () =>
        withCorimSignature(file, platform, { kind: signature.kind, bytes }),
      );
    }
    if (idBlock === undefined || signer === undefined) return signed;
    return about(idBlock.kind === 'outOfBand' ? idBlock.idBlock : undefined, 'ID_BLOCK_INVALID', () =>
      withSnpIdBlock(signed, signer),
    );
  });
}

/** Adds a signed SNP ID block to an image. */
export const addSnpIdBlock = ({
  source,
  ...request
}: Pick<SignRequest, 'input' | 'output'> & { source: SnpIdBlockSource }): Promise<void> =>
  signImage({ ...request, idBlock: source });

/** Adds a signature for a platform's CoRIM document to an image. */
export const patchCorimSignature = ({
  input,
  output,
  ...corim
}: Pick<SignRequest, 'input' | 'output'> & CorimSignatureSource): Promise<void> => signImage({ input, output, corim });

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

/** Names the signed file in an error about it; other errors are about the image. */
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
      `an ID block needs a manifest with one SEV-SNP guest, and it has ${guests.length}`,
      {
        file: path,
      },
    );
  }
  const isLinuxDirect = typeof guest.image === 'object' && 'snp_linux_direct' in guest.image;
  const identity = isLinuxDirect ? SNP_IDENTITY.linuxDirect : SNP_IDENTITY.openhcl;
  return { kind: 'temporaryKey', guestSvn: guest.guest_svn, identity };
}

/** The bytes of a file that `parse` understands: where it doesn't, the error names this file and not another of the three. */
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
      throw new IgvmError(code, `is ${source.size} bytes large, and no signature or key is`, { file: path });
    }
    return readAll(source, SMALL_FILE_LIMIT);
  } finally {
    source.close();
  }
}
