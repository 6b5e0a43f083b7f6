import { p384Point, parseEcdsaSignature, parseP384PublicKey, verifyP384 } from '../../src/endorsement/ecdsa-p384';
import { IgvmError } from '../../src/errors/igvm-error';
import type { Target } from '../engine/target';
import { EC_CERTIFICATE, EC_PUBLIC_KEY, ECDSA_SIGNATURE, ID_BLOCK, pem, RSA_CERTIFICATE } from './signed-samples';

const signature = parseEcdsaSignature(ECDSA_SIGNATURE);
const key = parseP384PublicKey(EC_PUBLIC_KEY);

export const der: Target = {
  name: 'der',
  about: 'ECDSA signatures, public keys and certificates, in DER and PEM',
  format: 'binary',
  dictionary: [
    '-----BEGIN CERTIFICATE-----\n',
    '-----END CERTIFICATE-----\n',
    '-----BEGIN PUBLIC KEY-----\n',
    Uint8Array.of(0x30, 0x81),
    Uint8Array.of(0x30, 0x82),
    Uint8Array.of(0x02, 0x31, 0x00),
    Uint8Array.of(0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22),
  ],
  seeds: () => [
    ECDSA_SIGNATURE,
    EC_PUBLIC_KEY,
    EC_CERTIFICATE,
    RSA_CERTIFICATE,
    pem('PUBLIC KEY', EC_PUBLIC_KEY),
    pem('CERTIFICATE', EC_CERTIFICATE),
  ],
  run(input) {
    try {
      verifyP384(ID_BLOCK, key, parseEcdsaSignature(input.bytes));
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
    }
    const found = parseP384PublicKey(input.bytes);
    const { x, y } = p384Point(found);
    if (x.length !== 48 || y.length !== 48) throw new Error('a point of P-384 has coordinates of 48 bytes');
    verifyP384(ID_BLOCK, found, signature);
  },
};
