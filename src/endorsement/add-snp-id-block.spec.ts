import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { type IgvmFile, PLATFORM_TYPE, type SnpIdBlockDirective } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { measure } from '../measurement/measure';
import { checkSignedIdBlock, type KnownGuest, type SnpIdBlockSigner, withSnpIdBlock } from './add-snp-id-block';
import { parseEcdsaSignature, parseP384PublicKey } from './ecdsa-p384';
import { corimDocument } from './corim';
import { certificateOf, EC_KEY, RSA_KEY } from './signer.fixture';
import { SNP_IDENTITY, snpIdBlock } from './guest-documents';

const POLICY = 0x3001fn;

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
  ],
  initializations: [{ type: 'guestPolicy', compatibilityMask: 1, policy: POLICY }],
  directives: [
    {
      type: 'pageData',
      gpa: 0,
      pageCount: 2,
      flags: 0,
      dataType: 0,
      compatibilityMask: 1,
      content: bytesSource(new Uint8Array(PAGE_SIZE).fill(1)),
    },
  ],
});

const spki = createPublicKey(EC_KEY).export({ format: 'der', type: 'spki' });

async function idBlock(changes: { policy?: bigint; guestSvn?: number } = {}): Promise<Uint8Array> {
  const [measurement] = await measure(file());
  return snpIdBlock({ ld: measurement!.digest, policy: POLICY, guestSvn: 5, ...SNP_IDENTITY.linuxDirect, ...changes });
}

async function outOfBand(changes: Partial<Extract<SnpIdBlockSigner, { kind: 'outOfBand' }>> = {}) {
  const block = changes.idBlock ?? (await idBlock());
  const signature = sign('sha384', block, EC_KEY);
  return signed({ kind: 'outOfBand', idBlock: block, signature, publicKey: spki, ...changes });
}

const signed = async (signer: SnpIdBlockSigner, of = file(), known?: KnownGuest): Promise<IgvmFile> =>
  (await withSnpIdBlock(of, signer, known)).file;

const added = ({ directives }: IgvmFile): SnpIdBlockDirective => directives.at(-1) as SnpIdBlockDirective;

const invalid = (message: RegExp) => ({ code: 'ID_BLOCK_INVALID', message: expect.stringMatching(message) });

describe('SNP ID block', () => {
  it.each<[string, Uint8Array]>([
    ['a public key in DER', spki],
    ['a public key in PEM', Buffer.from(createPublicKey(EC_KEY).export({ format: 'pem', type: 'spki' }))],
    ['a certificate in DER', certificateOf(EC_KEY)],
    [
      'a certificate in PEM after blank lines',
      Buffer.from(
        `\n\n-----BEGIN CERTIFICATE-----\n${certificateOf(EC_KEY).toString('base64')}\n-----END CERTIFICATE-----\n`,
      ),
    ],
  ])('is added with the signature of %s', async (_, publicKey) => {
    const image = await outOfBand({ publicKey });
    expect(image.directives).toHaveLength(2);
    const { x = '', y = '' } = createPublicKey(EC_KEY).export({ format: 'jwk' });
    const reversed = (text: string): string =>
      Buffer.concat([Buffer.from(text, 'base64url').reverse(), Buffer.alloc(24)]).toString('hex');
    expect(added(image)).toMatchObject({
      type: 'snpIdBlock',
      guestSvn: 5,
      version: 1,
      idKeyAlgorithm: 1,
      authorKeyEnabled: false,
    });
    expect(Buffer.from(added(image).idPublicKey.qx).toString('hex')).toBe(reversed(x));
    expect(Buffer.from(added(image).idPublicKey.qy).toString('hex')).toBe(reversed(y));
    expect(Buffer.from(added(image).imageId).toString()).toContain('linux-direct');
  });

  it('does not change the launch digest', async () => {
    const [before] = await measure(file());
    const [after] = await measure(await outOfBand());
    expect(after).toEqual(before);
  });

  it('can be signed with a temporary key', async () => {
    const signer: SnpIdBlockSigner = { kind: 'temporaryKey', guestSvn: 9, identity: SNP_IDENTITY.openhcl };
    const [one, other] = [added(await signed(signer)), added(await signed(signer))];
    expect(one.guestSvn).toBe(9);
    expect(one.idPublicKey.qx).not.toEqual(other.idPublicKey.qx);
  });

  it('is refused if the image already has one, or has no SNP guest', async () => {
    await expect(
      withSnpIdBlock(await outOfBand(), { kind: 'temporaryKey', guestSvn: 1, identity: SNP_IDENTITY.openhcl }),
    ).rejects.toMatchObject({
      code: 'ID_BLOCK_PRESENT',
    });
    await expect(
      withSnpIdBlock(
        { ...file(), platforms: [] },
        { kind: 'temporaryKey', guestSvn: 1, identity: SNP_IDENTITY.openhcl },
      ),
    ).rejects.toMatchObject({ code: 'MEASUREMENT_UNAVAILABLE' });
  });

  it('is refused when it belongs to another build or policy', async () => {
    const block = await idBlock();
    block[0] = (block[0] as number) ^ 1;
    await expect(outOfBand({ idBlock: block })).rejects.toMatchObject(
      invalid(/does not have the launch digest of the image/),
    );
    await expect(outOfBand({ idBlock: await idBlock({ policy: 0n }) })).rejects.toMatchObject(invalid(/policy 0x0/));
    await expect(outOfBand({ idBlock: new Uint8Array(95) })).rejects.toMatchObject(invalid(/96 bytes/));
  });

  it("is refused if its version, security version or identity is not the guest's", async () => {
    const version = await idBlock();
    version[80] = 7;
    await expect(outOfBand({ idBlock: version })).rejects.toMatchObject(invalid(/version 7/));
    const block = await idBlock();
    const foreign = Buffer.from(block).fill(0xee, 48, 64);
    await expect(outOfBand({ idBlock: foreign })).rejects.toMatchObject(invalid(/family or image ID/));
    const signer: SnpIdBlockSigner = { kind: 'temporaryKey', guestSvn: 5, identity: SNP_IDENTITY.linuxDirect };
    await expect(signed(signer, file(), { guestSvn: 6 })).rejects.toMatchObject(invalid(/version 5, and the guest 6/));
    await expect(signed(signer, file(), { identity: SNP_IDENTITY.openhcl })).rejects.toMatchObject(
      invalid(/family or image ID/),
    );
    const [measurement] = await measure(file());
    const content = bytesSource(corimDocument('snp', measurement!.digest, 4));
    const endorsed = { ...file(), initializations: [...file().initializations] };
    endorsed.initializations.push({ type: 'corimDocument', compatibilityMask: 1, content });
    await expect(signed(signer, endorsed)).rejects.toMatchObject(invalid(/version 5, and the guest 4/));
    expect(added(await signed({ ...signer, guestSvn: 4 }, endorsed)).guestSvn).toBe(4);
  });

  it('is checked again in an image, with a description of its key', async () => {
    const block = await idBlock();
    const directive = added(await outOfBand());
    expect(checkSignedIdBlock(directive, block)).toMatch(/^the key with ID_KEY_DIGEST [0-9a-f]{96}$/);
    const { idKeySignature, authorKeySignature } = directive;
    const zeros = new Uint8Array(72);
    for (const change of [
      { idKeySignature: { ...idKeySignature, s: zeros } },
      { idPublicKey: { curve: 2, qx: zeros, qy: zeros } },
      { idKeyAlgorithm: 2 },
      { authorKeyEnabled: true },
      { authorKeyAlgorithm: 1 },
      { authorKeySignature: { ...authorKeySignature, r: new Uint8Array(72).fill(1) } },
    ]) {
      expect(() => checkSignedIdBlock({ ...directive, ...change }, block)).toThrow(
        expect.objectContaining({ code: 'ID_BLOCK_INVALID' }),
      );
    }
    expect(() => checkSignedIdBlock(directive, Buffer.from(block).fill(9, 84, 85))).toThrow(/does not verify/);
  });

  it('is refused with a signature over something else', async () => {
    const signature = sign('sha384', await idBlock({ guestSvn: 6 }), EC_KEY);
    await expect(outOfBand({ signature })).rejects.toMatchObject(invalid(/does not verify/));
  });
});

describe('the key of an ID block', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['an RSA key', createPublicKey(RSA_KEY).export({ format: 'der', type: 'spki' }), /neither a certificate nor/],
    [
      'a key on another curve',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' }),
      /P-384/,
    ],
    ['a private key', Buffer.from(EC_KEY.export({ format: 'pem', type: 'pkcs8' })), /neither a certificate nor/],
    ['nothing', new Uint8Array(0), /neither a certificate nor/],
    ['a damaged certificate', certificateOf(EC_KEY).subarray(0, 100), /neither a certificate nor/],
  ])('is not %s', (_, bytes, message) => {
    expect(() => parseP384PublicKey(bytes)).toThrow(expect.objectContaining(invalid(message)));
  });
});

describe('a DER signature', () => {
  const signature = (hex: string): Uint8Array => Buffer.from(hex, 'hex');

  it('is two numbers, padded to 48 bytes', () => {
    const { r, s } = parseEcdsaSignature(signature('300702010102020080'));
    expect([r.length, r[47], s.length, s[47]]).toEqual([48, 1, 48, 0x80]);
  });

  it.each([
    ['bytes after it', '300602010102010100'],
    ['one number', '3003020101'],
    ['three numbers', '3009020101020101020101'],
    ['a negative number', '3006020181020101'],
    ['superfluous zeros', '30070202000102010100'.slice(0, 18)],
    ['an empty number', '30050200020101'],
    ['a length longer than needed', '308106020101020101'],
    ['an indefinite length', '3080020101020101'],
    ['a number too large for P-384', `303702${'32'}${'01'.repeat(50)}020101`],
    ['a missing end', '30060201010201'],
    ['nothing', ''],
  ])('is refused with %s', (_, hex) => {
    expect(() => parseEcdsaSignature(signature(hex))).toThrow(expect.objectContaining({ code: 'ID_BLOCK_INVALID' }));
  });

  it('is decoded or refused with an error, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        try {
          parseEcdsaSignature(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ID_BLOCK_INVALID' });
        }
      }),
    );
  });
});
