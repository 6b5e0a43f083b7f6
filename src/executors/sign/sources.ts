import { IgvmError } from '../../errors/igvm-error';
import type { SignatureOptions } from '../../endorsement/corim-signature';
import type { CorimSignatureSource, SnpIdBlockSource } from '../../endorsement/sign-image';
import type { SignExecutorSchema } from './schema';

const usage = (message: string): IgvmError => new IgvmError('SIGN_OPTION', message);

/** Where the ID block comes from; undefined when none is wanted. @throws IgvmError SIGN_OPTION */
export function idBlockSource(options: SignExecutorSchema, at: (path: string) => string): SnpIdBlockSource | undefined {
  const { idBlock, idSignature, idPublicKey, temporaryKey = false, manifest, guestSvn } = options;
  const given = [idBlock, idSignature, idPublicKey].filter((path) => path !== undefined);
  if (given.length > 0) {
    if (temporaryKey) throw usage('temporaryKey and an ID block that is signed already exclude each other');
    if (idBlock === undefined || idSignature === undefined || idPublicKey === undefined) {
      throw usage('idBlock, idSignature and idPublicKey belong together');
    }
    return { kind: 'outOfBand', idBlock: at(idBlock), signature: at(idSignature), publicKey: at(idPublicKey) };
  }
  if (!temporaryKey) return undefined;
  if (guestSvn === undefined) {
    if (manifest === undefined) throw usage('temporaryKey needs manifest or guestSvn');
    return { kind: 'manifest', path: at(manifest) };
  }
  if (!Number.isInteger(guestSvn) || guestSvn < 0 || guestSvn >= 2 ** 32) {
    throw usage('guestSvn is a whole number below 2^32');
  }
  return { kind: 'guestSvn', guestSvn };
}

/** The signature for a CoRIM document; undefined when none is given. @throws IgvmError SIGN_OPTION */
export function corimSource(
  { corimBundle, corimSignature, platform, allowRsa2048 }: SignExecutorSchema,
  at: (path: string) => string,
): (CorimSignatureSource & SignatureOptions) | undefined {
  const path = corimBundle ?? corimSignature;
  if (path === undefined) return undefined;
  if (corimBundle !== undefined && corimSignature !== undefined) {
    throw usage('corimBundle and corimSignature exclude each other');
  }
  if (platform === undefined) throw usage('a CoRIM signature needs platform');
  const kind = corimBundle === undefined ? 'detached' : 'bundle';
  return { platform, allowRsa2048, signature: { kind, path: at(path) } };
}
