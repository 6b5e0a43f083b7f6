/** Tests TDX quotes from a platform with the tests' own keys, for images that the tests build. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { written } from '../igvm/igvm-file.fixture';
import { tdxFile } from '../lock/lock.fixture';
import { lockText } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import { measure } from '../measurement/measure';
import { type Issued, issue } from './amd-chain.fixture';
import { put, verifyFiles } from './evidence-run.fixture';

const root = issue({ commonName: 'Intel SGX Root CA' });
const authority = issue({ commonName: 'Intel SGX PCK Platform CA', issuer: root });
const pck = issue({
  commonName: 'Intel SGX PCK Certificate',
  issuer: authority,
  curve: 'P-256',
  extensions: { '1.2.840.113741.1.13.1': Buffer.from([0x30, 0]) },
});

const pem = (...chain: Issued[]): string => chain.map(({ certificate }) => certificate.x509.toString()).join('');
const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number): Buffer => Buffer.concat([u16(value & 0xffff), u16(value >>> 16)]);
const signed = (bytes: Buffer, key: KeyObject): Buffer => sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });

interface QuoteFields {
  version?: 4 | 5;
  mrTd?: Uint8Array;
  attributes?: bigint;
  enclaveFlags?: bigint;
  /** Replaces the hash that binds the attestation key to the enclave. */
  bound?: Buffer;
}

function quoteOf({ version = 4, mrTd, attributes = 1n << 28n, enclaveFlags = 1n, bound }: QuoteFields = {}): Buffer {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const key = Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const header = Buffer.concat([u16(version), u16(2), u32(0x81), Buffer.alloc(40)]);
  header.set(Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex'), 12);
  const body = Buffer.alloc(version === 4 ? 584 : 648);
  body.writeBigUInt64LE(attributes, 120);
  body.set(mrTd ?? [], 136);
  const start = version === 4 ? header : Buffer.concat([header, u16(3), u32(body.length)]);
  const toSign = Buffer.concat([start, body]);
  const enclave = Buffer.alloc(384);
  enclave.writeBigUInt64LE(enclaveFlags, 48);
  const authentication = Buffer.from('authentication');
  enclave.set(bound ?? createHash('sha256').update(key).update(authentication).digest(), 320);
  const chain = Buffer.from(pem(pck, authority, root));
  const vouched = [enclave, signed(enclave, pck.key), u16(authentication.length), authentication];
  const data = Buffer.concat([...vouched, u16(5), u32(chain.length), chain]);
  const signature = Buffer.concat([signed(toSign, privateKey), key, u16(6), u32(data.length), data]);
  return Buffer.concat([toSign, u32(signature.length), signature]);
}

const verifyQuote = (quote: Buffer, ...args: string[]) =>
  verifyFiles(put('quote', quote), '--root', put('root.pem', pem(root)), '--at', '2026-03-01', ...args);

describe('a TDX quote', () => {
  it.each([4, 5] as const)('is genuine in version %i with a trusted root, and only with that', async (version) => {
    const quote = quoteOf({ version });
    expect(await verifyQuote(quote)).toMatchObject({ code: 0, verdict: 'genuine', failed: [] });
    expect(await verifyFiles(put('quote', quote), '--at', '2026-03-01')).toMatchObject({
      code: 3,
      failed: [expect.stringContaining('root certificate: Intel SGX Root CA')],
    });
  });

  it('is not genuine if the enclave is for debugging, or vouches for another key', async () => {
    expect((await verifyQuote(quoteOf({ enclaveFlags: 3n }))).failed).toEqual([
      'quoting enclave: it is an enclave for debugging',
    ]);
    expect((await verifyQuote(quoteOf({ bound: Buffer.alloc(32) }))).failed).toEqual([
      'attestation key: the quoting enclave vouches for another key',
    ]);
  });

  it('is refused if it is cut off at any point', async () => {
    const quote = quoteOf();
    for (let size = 48; size < quote.length; size += 97) {
      expect(await verifyQuote(quote.subarray(0, size))).toMatchObject({
        code: 3,
        text: expect.stringMatching(/EVIDENCE_INVALID|CERTIFICATE_INVALID/),
      });
    }
  });

  it('is ours if it has the digest of the lock or image, and the guest cannot be debugged', async () => {
    const file = tdxFile();
    const [measured] = await measure(file);
    const image = ['--image', put('guest.igvm', (await written(file)).bytes)];
    const lock = ['--lock', put('igvm.lock.json', lockText((await lockImage(file, {})).lock))];
    const mrTd = measured!.digest;
    for (const flags of [image, lock, [...lock, ...image]]) {
      expect(await verifyQuote(quoteOf({ mrTd }), ...flags)).toMatchObject({ code: 0, verdict: 'ours', failed: [] });
      const other = await verifyQuote(quoteOf({ mrTd: Buffer.alloc(48, 1) }), ...flags);
      expect(other).toMatchObject({
        code: 4,
        failed: [expect.stringMatching(/^measurement: 0101.* is not the launch/)],
      });
      const debug = await verifyQuote(quoteOf({ mrTd, attributes: 1n }), ...flags);
      expect(debug).toMatchObject({
        code: 4,
        failed: [expect.stringContaining('debug: the host may debug the guest')],
      });
    }
    expect((await verifyQuote(quoteOf({ mrTd }), ...lock, '--vmpl', '0')).failed).toEqual([
      'VMPL: a TDX quote has none',
    ]);
    const lowest = ['--minimum-tcb', '01'.padEnd(32, '0')];
    expect((await verifyQuote(quoteOf({ mrTd }), ...lock, ...lowest)).failed[0]).toMatch(
      /and the minimum is \w+: byte 0$/,
    );
  });
});
