import { cborMap, cborTag, encodeCbor } from '../../src/endorsement/cbor';
import { isCorimDocument } from '../../src/endorsement/corim';
import { verifyCorimSignature } from '../../src/endorsement/corim-signature';
import { decodeCoseSign1, encodeDetached } from '../../src/endorsement/cose-sign1';
import type { Target } from '../engine/target';
import { CORIM, RSA_CERTIFICATE } from './signed-samples';

/** A signed CoRIM with an invalid signature. */
function signed(payload: Uint8Array | null, header: readonly [number, Parameters<typeof encodeCbor>[0]][]): Uint8Array {
  const protectedBytes = encodeCbor(cborMap(...header));
  return encodeCbor(cborTag(18, [protectedBytes, cborMap(), payload, new Uint8Array(256).fill(1)]));
}

export const cose: Target = {
  name: 'cose',
  about: 'signed CoRIMs (COSE, CBOR, the certificate inside), and CoRIM documents',
  format: 'binary',
  dictionary: [
    'application/rim+cbor',
    Uint8Array.of(0xd2),
    Uint8Array.of(0xd9, 0x01, 0xf5),
    Uint8Array.of(0x9f),
    Uint8Array.of(0xbf),
    Uint8Array.of(0xff),
    Uint8Array.of(0xf6),
    Uint8Array.of(0x18, 0x21),
    Uint8Array.of(0x5b, 0, 0, 0, 1, 0, 0, 0, 0),
    Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff),
  ],
  seeds: () => [
    signed(null, [
      [1, -38],
      [3, 'application/rim+cbor'],
      [15, cborMap([1, 'issuer'])],
      [33, RSA_CERTIFICATE],
    ]),
    signed(CORIM, [
      [1, -38],
      [8, encodeCbor(cborMap([0, cborMap([0, 'signer'])]))],
      [32, [RSA_CERTIFICATE, RSA_CERTIFICATE]],
      [34, [1, new Uint8Array(4)]],
      [35, 'https://example.com'],
    ]),
    encodeCbor(cborTag(500, cborTag(502, cborTag(18, [new Uint8Array(0), cborMap(), null, new Uint8Array(4)])))),
    CORIM,
  ],
  run(input) {
    for (const platform of ['snp', 'tdx', 'vbs'] as const) isCorimDocument(input.bytes, platform);
    const sign1 = decodeCoseSign1(input.bytes);
    const detached = encodeDetached(sign1);
    if (decodeCoseSign1(detached).algorithm !== sign1.algorithm)
      throw new Error('a detached signature is read differently');
    verifyCorimSignature(detached, CORIM);
  },
};
