import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { type CborValue, cborMap, cborTag, decodeCbor, encodeCbor } from './cbor';
import { corimDocument } from './corim';
import { measure } from '../measurement/measure';
import { checkDocuments } from './image-documents';
import { verifyCorimSignature, withCorimSignature } from './corim-signature';
import { certificateOf, EC_KEY, RSA_KEY, type SignedCorimOptions, signedCorim } from './signer.fixture';

const DOCUMENT = corimDocument('snp', new Uint8Array(48).fill(7), 1);
const RSA_2048 = { allowRsa2048: true };

/** An image with the document that follows from its digest. */
async function endorsed(guestSvn = 1): Promise<{ image: IgvmFile; document: Uint8Array }> {
  const [measurement] = await measure(file(), { platforms: ['snp'] });
  const document = corimDocument('snp', measurement!.digest, guestSvn);
  const [, ...others] = file().initializations;
  const content = bytesSource(document);
  return {
    document,
    image: { ...file(), initializations: [{ type: 'corimDocument', compatibilityMask: 1, content }, ...others] },
  };
}

const CERTIFICATE = Uint8Array.from(certificateOf(RSA_KEY));

const file = (): IgvmFile => ({
  version: 1,
  arch: 'x64',
  platforms: [
    {
      compatibilityMask: 1,
      platformType: PLATFORM_TYPE.SEV_SNP,
      highestVtl: 0,
      platformVersion: 1,
      sharedGpaBoundary: 0n,
    },
    { compatibilityMask: 2, platformType: PLATFORM_TYPE.TDX, highestVtl: 0, platformVersion: 1, sharedGpaBoundary: 0n },
  ],
  initializations: [
    { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(DOCUMENT) },
    { type: 'guestPolicy', compatibilityMask: 1, policy: 0x30000n },
  ],
  directives: [],
});

const SHORT_KEY = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;

const invalid = (message?: string | RegExp) =>
  expect.objectContaining({
    code: 'CORIM_SIGNATURE_INVALID',
    ...(message === undefined ? {} : { message: expect.stringMatching(message) }),
  });

describe('CoRIM signature', () => {
  it.each([
    ['an empty unprotected header', cborMap(), 0],
    ['a filled unprotected header', cborMap([4, 'whoever']), 1],
    ['an unprotected header that is not a map', 'whatever', 1],
  ])('with %s is accepted by verify only if the header is empty', async (_, unprotected, complaints) => {
    const { image, document } = await endorsed();
    const bytes = signedCorim(document, { unprotected });
    const { file: patched } = await withCorimSignature(image, 'snp', { kind: 'detached', bytes }, RSA_2048);
    const [measurement] = await measure(patched, { platforms: ['snp'] });
    const check = checkDocuments(
      {
        image: undefined,
        file: patched,
        platform: 'snp',
        compatibilityMask: 1,
        digest: Buffer.from(measurement!.digest).toString('hex').toUpperCase(),
        policy: 0x30000n,
        debugEnabled: false,
      },
      { guestSvn: 1 },
    );
    expect([check.complaints.length, check.signers.length]).toEqual([complaints, 1 - complaints]);
    if (complaints > 0) expect(check.complaints[0]).toContain('parts that are not signed');
  });

  it('is placed after all other headers, directly after its document', async () => {
    const { image, document } = await endorsed();
    const bytes = signedCorim(document);
    const { file: patched, signer } = await withCorimSignature(image, 'snp', { kind: 'detached', bytes }, RSA_2048);
    expect(signer).toMatch(
      /^CN=test \(RSA 2048, SHA-256 [0-9A-F]{64}, valid .* to .*, neither validity nor chain checked\)$/,
    );
    expect(patched.initializations.map(({ type }) => type)).toEqual(['guestPolicy', 'corimDocument', 'corimSignature']);
  });

  it('replaces a previous signature', async () => {
    const { image, document } = await endorsed();
    const bytes = signedCorim(document);
    const { file: first } = await withCorimSignature(image, 'snp', { kind: 'detached', bytes }, RSA_2048);
    const second = signedCorim(document, { header: { 4: new Uint8Array(3) } });
    const replaced = await withCorimSignature(first, 'snp', { kind: 'detached', bytes: second }, RSA_2048);
    const { initializations } = replaced.file;
    expect(initializations).toHaveLength(3);
    expect(initializations[2]).toMatchObject({ content: { size: second.length } });
  });

  it('is taken from a bundle, with its unprotected header in canonical order', async () => {
    const { image, document } = await endorsed();
    const bundle = signedCorim(document, { attached: true, unprotected: cborMap([300, 'b'], [4, 'a']) });
    const signed = await withCorimSignature(image, 'snp', { kind: 'bundle', bytes: bundle }, RSA_2048);
    const { initializations } = signed.file;
    const signature = initializations.find(({ type }) => type === 'corimSignature');
    if (signature?.type !== 'corimSignature') throw new Error('no signature');
    const bytes = new Uint8Array(signature.content.size);
    signature.content.read(0, bytes);
    const decoded = decodeCbor(bytes, 'it') as unknown as { value: [unknown, Map<number, string>, unknown] };
    expect([...decoded.value[1].keys()]).toEqual([4, 300]);
    expect(decoded.value[2]).toBeNull();
  });

  it.each<[string, SignedCorimOptions]>([
    ['several certificates, the signer first', { header: { 33: [CERTIFICATE, new Uint8Array(3)] } }],
    ['its certificate in x5bag', { header: { 33: undefined, 32: CERTIFICATE } }],
    ['no content type', { header: { 3: undefined } }],
    [
      'corim-meta instead of CWT claims',
      { header: { 15: undefined, 8: encodeCbor(cborMap([0, cborMap([0, 'me'])])) } },
    ],
    ['an unprotected header that is not a map', { unprotected: 'x' }],
  ])('may have %s', (_, options) => {
    expect(() => verifyCorimSignature(signedCorim(DOCUMENT, options), DOCUMENT, RSA_2048)).not.toThrow();
  });

  it('may be wrapped in the tags of older tools', () => {
    const parts = decodeCbor(signedCorim(DOCUMENT), 'it');
    expect(() => verifyCorimSignature(encodeCbor(cborTag(500, cborTag(502, parts))), DOCUMENT, RSA_2048)).not.toThrow();
  });

  it.each<[string, SignedCorimOptions, RegExp]>([
    ['another algorithm', { header: { 1: -37 } }, /-37.*PS384/],
    ['no algorithm', { header: { 1: undefined } }, /no algorithm/],
    ['another content type', { header: { 3: 'text/plain' } }, /content type/],
    ['no signer', { header: { 15: undefined } }, /names no signer/],
    ['CWT claims without an issuer', { header: { 15: cborMap([2, 'subject']) } }, /no issuer/],
    ['no certificate', { header: { 33: undefined } }, /no certificate/],
    ['an empty list of certificates', { header: { 33: [] } }, /x5chain/],
    ['an invalid certificate', { header: { 33: Uint8Array.of(0x30, 1, 2) } }, /not an X\.509/],
    ['a certificate in PEM', { header: { 33: new TextEncoder().encode('-----BEGIN CERTIFICATE-----') } }, /X\.509/],
    ['an EC key', { key: EC_KEY }, /not an RSA key/],
    ['a salt of another length', { saltLength: 32 }, /does not verify/],
    ['a malformed thumbprint', { header: { 34: 'x' } }, /x5t/],
    ['its document inside', { attached: true }, /is a bundle/],
    ['critical parameters', { header: { 2: [99], 99: 'x' } }, /critical/],
    ['critical parameters that are known', { header: { 2: [1] } }, /critical/],
    ['the algorithm of a payload hash', { header: { 258: -43 } }, /label 258/],
    ['the content type of a hashed payload', { header: { 259: 'text/plain' } }, /label 259/],
    ['the place of a hashed payload', { header: { 260: 'https://example.invalid' } }, /label 260/],
    ['a key that is too short', { key: SHORT_KEY }, /1024 bits, and at least 2048/],
    ['another tag', { tag: 17 }, /not a COSE_Sign1/],
  ])('is refused with %s', (_, options, message) => {
    expect(() => verifyCorimSignature(signedCorim(DOCUMENT, options), DOCUMENT, RSA_2048)).toThrow(invalid(message));
  });

  it('needs an RSA key of 3072 bits, or 2048 if that is allowed', () => {
    const bytes = signedCorim(DOCUMENT);
    expect(() => verifyCorimSignature(bytes, DOCUMENT)).toThrow(invalid(/2048 bits, and at least 3072/));
    const key = generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey;
    expect(verifyCorimSignature(signedCorim(DOCUMENT, { key }), DOCUMENT)).toContain('RSA 3072');
  });

  it('is refused if the document endorses something other than the image', async () => {
    const bytes = signedCorim(DOCUMENT);
    await expect(withCorimSignature(file(), 'snp', { kind: 'detached', bytes }, RSA_2048)).rejects.toMatchObject({
      code: 'CORIM_INVALID',
      message: expect.stringContaining('something other than'),
    });
    const { image, document } = await endorsed(99);
    const own = { kind: 'detached', bytes: signedCorim(document) } as const;
    await expect(withCorimSignature(image, 'snp', own, { ...RSA_2048, guestSvn: 7 })).rejects.toMatchObject({
      code: 'CORIM_INVALID',
      message: 'the CoRIM document in the image has security version 99, and the guest 7',
    });
    await expect(withCorimSignature(image, 'snp', own, { ...RSA_2048, guestSvn: 99 })).resolves.toBeDefined();
  });

  it('is refused if it was made for another document', async () => {
    expect(() => verifyCorimSignature(signedCorim(DOCUMENT), DOCUMENT.subarray(1), RSA_2048)).toThrow(
      invalid(/does not verify/),
    );
    const bundle = signedCorim(DOCUMENT.subarray(1), { attached: true });
    await expect(withCorimSignature(file(), 'snp', { kind: 'bundle', bytes: bundle }, RSA_2048)).rejects.toEqual(
      invalid(/another document/),
    );
  });

  it('is refused as a bundle if it is detached', async () => {
    const bytes = signedCorim(DOCUMENT);
    await expect(withCorimSignature(file(), 'snp', { kind: 'bundle', bytes })).rejects.toEqual(
      invalid(/no document inside/),
    );
  });

  it('needs the platform, and a document for it, in the image', async () => {
    const bytes = signedCorim(DOCUMENT);
    await expect(withCorimSignature(file(), 'tdx', { kind: 'detached', bytes })).rejects.toMatchObject({
      code: 'CORIM_MISSING',
    });
    await expect(withCorimSignature(file(), 'vbs', { kind: 'detached', bytes })).rejects.toMatchObject({
      code: 'MEASUREMENT_UNAVAILABLE',
    });
  });

  it('is accepted or refused with an error, whatever the damage', () => {
    const whole = signedCorim(DOCUMENT);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, size) => {
        const bytes = whole.slice(0, Math.max(size, at + 1));
        bytes[at] = value;
        try {
          verifyCorimSignature(bytes, DOCUMENT);
        } catch (error) {
          expect(error).toEqual(invalid());
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('decodeCbor', () => {
  it.each<[string, Uint8Array]>([
    ['arrays', new Uint8Array(200_000).fill(0x81)],
    ['maps', Uint8Array.from({ length: 200_000 }, (_, index) => (index % 2 === 0 ? 0xa1 : 0x00))],
    ['tags', new Uint8Array(200_000).fill(0xc1)],
  ])('refuses deeply nested %s', (_, bytes) => {
    expect(() => decodeCbor(bytes, 'it')).toThrow(invalid(/nested/));
  });

  it.each<[string, number[]]>([
    ['nothing', []],
    ['bytes after the value', [0x01, 0x02]],
    ['an indefinite length', [0x9f, 0x01, 0xff]],
    ['a string longer than the data', [0x5a, 0xff, 0xff, 0xff, 0xff]],
    ['an array longer than the data', [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['a key twice', [0xa2, 0x01, 0x02, 0x01, 0x03]],
  ])('refuses %s', (_, bytes) => {
    expect(() => decodeCbor(Uint8Array.from(bytes), 'it')).toThrow(invalid(/not well-formed/));
  });

  it('returns the encoded value', () => {
    const values: CborValue[] = [1, -1, 'text', [1, [2]], cborMap([1, 'x']), cborTag(501, 'y'), null, true];
    for (const value of values) expect(decodeCbor(encodeCbor(value), 'it')).toEqual(value);
  });
});
