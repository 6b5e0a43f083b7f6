import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { corimDocument } from '../../src/endorsement/corim';

/** Keys for fuzzing only, and data that they signed. They are fixed, because fuzzing has to start with the same bytes each time. */
const sample = (name: string): Uint8Array => new Uint8Array(readFileSync(join(__dirname, '..', 'samples', name)));

/** The ID block of the image in id-block.ts, signed with the EC key. */
export const ID_BLOCK = sample('snp.idblock');
export const ID_BLOCK_POLICY = 0x3001fn;
export const ECDSA_SIGNATURE = sample('ecdsa-signature.der');

/** SubjectPublicKeyInfo, and self-signed certificates. */
export const EC_PUBLIC_KEY = sample('ec-public-key.der');
export const EC_CERTIFICATE = sample('ec-certificate.der');
export const RSA_CERTIFICATE = sample('rsa-certificate.der');

export const CORIM = Uint8Array.from(corimDocument('snp', new Uint8Array(48).fill(7), 1));

/** DER as PEM. */
export const pem = (label: string, der: Uint8Array): Uint8Array =>
  new TextEncoder().encode(
    `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`,
  );
