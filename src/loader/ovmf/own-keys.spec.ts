import { bytesSource } from '../../memory/byte-source';
import { StructWriter } from '../../memory/struct-writer';
import { guidBytes } from '../formats/ovmf-table';
import files from './certificates.json';
import { readOwnKeys, type SecureBootVariable } from './own-keys';
import { secureBootVariables } from './secure-boot';

const OWNER = guidBytes('01234567-89ab-cdef-0123-456789abcdef');
const der = (name: keyof typeof files): Buffer => Buffer.from(files[name], 'base64');
const RED_HAT = der('rh-pk-kek-2014.der');
const KEK_2011 = der('ms-kek-2011.der');
const KEK_2023 = der('ms-kek-2023.der');
/** A certificate with a key on an elliptic curve (P-256), made with openssl. */
const ELLIPTIC = Buffer.from(
  'MIIBbjCCARWgAwIBAgIUVVCP2B64AHXnjXgfmuNvH1nXXLcwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjYxODM4MDRaGA8yMTI2MTEwMjE4MzgwNFowDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPEx9fsy6zEWyOE8/ti4sL3VSDZ3h0ootEwEToZFd4HykBuFTRQGd8L68d/WaCKxpzVMkplc1qWTIVe+v/8wZqyjUzBRMB0GA1UdDgQWBBQnRwYro9I7I+iPCFD4WkpaJAsNtTAfBgNVHSMEGDAWgBQnRwYro9I7I+iPCFD4WkpaJAsNtTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIDEC0U4H13uS0PLzpkaitPCfjAleS2KizR7ZPdn7MPxOAiAaN5T2jBseoceEpj3RxpXejTAxft62zG2dTQhS6lvOjQ==',
  'base64',
);

const pem = (bytes: Uint8Array, label = 'CERTIFICATE'): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes)
    .toString('base64')
    .replace(/(.{64})/g, '$1\n')}\n-----END ${label}-----\n`;

const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072';
const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328';
const SHA384 = 'ff3e5307-9fd0-48c9-85f1-8ad56c701e01';

/** A signature list with entries of one size. */
function list(kind: string, ...entries: Uint8Array[]): Buffer {
  const size = 16 + (entries[0]?.length ?? 32);
  const out = new StructWriter().raw(guidBytes(kind)).u32(28 + size * entries.length, 0, size);
  for (const entry of entries) out.raw(OWNER).raw(entry);
  return Buffer.from(out.finish());
}

/** An update of a variable at the given time, with a signature of the given size. */
function update(lists: Uint8Array, signature = 0): Buffer {
  const out = new StructWriter()
    .u16(2024)
    .u8(6, 7, 8, 9, 10)
    .zeros(9)
    .u32(24 + signature);
  out.u16(0x200, 0xef1).raw(guidBytes('4aafd29d-68df-49ee-8aa9-347d375665a7')).zeros(signature).raw(lists);
  return Buffer.from(out.finish());
}

const read = (content: Uint8Array | string, variable: SecureBootVariable = 'db') =>
  readOwnKeys(bytesSource(typeof content === 'string' ? Buffer.from(content) : content), variable, OWNER);
const digest = (byte: number, size = 32): Uint8Array => new Uint8Array(size).fill(byte);

/** A certificate that is valid from month 99 on. */
const withoutDate = (): Buffer =>
  Buffer.from(RED_HAT.toString('latin1').replace('141031111537Z', '149931111537Z'), 'latin1');

/** An RSA certificate whose key has another type. */
const withKeyType = (oid: string): Buffer => {
  const bytes = RED_HAT.toString('hex');
  const rsa = '2a864886f70d010101';
  return Buffer.from(bytes.replace(rsa, oid), 'hex');
};

describe('a file with keys for Secure Boot', () => {
  const expected = list(X509, KEK_2011).toString('hex');
  it.each<[string, Uint8Array | string]>([
    ['a certificate in DER', KEK_2011],
    ['a certificate in PEM', pem(KEK_2011)],
    ['a certificate with text around it', `subject=Microsoft\n\n${pem(KEK_2011)}\n`],
    ['a signature list', list(X509, KEK_2011)],
    ['an update without signature', update(list(X509, KEK_2011))],
    ['a signed update', update(list(X509, KEK_2011), 400)],
  ])('may be %s', (_, content) => {
    expect(Buffer.from(read(content).lists).toString('hex')).toBe(expected);
  });

  it('may have several certificates, each in its own list', () => {
    const lists = Buffer.concat([list(X509, KEK_2011), list(X509, KEK_2023)]).toString('hex');
    for (const content of [Buffer.concat([KEK_2011, KEK_2023]), pem(KEK_2011) + pem(KEK_2023)]) {
      expect(Buffer.from(read(content).lists).toString('hex')).toBe(lists);
    }
  });

  it('keeps lists of every kind that OVMF knows unchanged', () => {
    const lists = Buffer.concat([list(SHA256, digest(1), digest(2)), list(SHA384, digest(3, 48)), list(X509, RED_HAT)]);
    expect(Buffer.from(read(lists, 'dbx').lists).equals(lists)).toBe(true);
  });

  it('has the time of its update, or of its latest certificate, or none', () => {
    expect(read(update(list(SHA256, digest(1)))).time).toEqual(new Date('2024-06-07T08:09:10Z'));
    expect(read(Buffer.concat([KEK_2023, KEK_2011])).time).toEqual(new Date('2023-03-02T20:21:35Z'));
    expect(read(list(X509, RED_HAT)).time).toEqual(new Date('2014-10-31T11:15:37Z'));
    expect(read(list(SHA256, digest(1))).time).toBeUndefined();
  });

  it.each<[string, Uint8Array | string, RegExp, SecureBootVariable?]>([
    ['nothing', '', /neither certificates/],
    ['text', 'hello', /neither certificates/],
    ['a list without entries', list(SHA256), /no keys/],
    ['an update without lists', update(new Uint8Array(0)), /neither certificates/],
    [
      'an update that ends in its signature',
      update(list(X509, RED_HAT), 40).subarray(0, 60),
      /not an authenticated variable/,
    ],
    ['a list that ends early', list(SHA256, digest(1)).subarray(0, 60), /impossible/],
    [
      'a list of a kind that is not known',
      Buffer.concat([list(SHA256, digest(1)), list(X509.replace('a5', 'a6'), RED_HAT)]),
      /kind/,
    ],
    ['digests of another size', list(SHA256, digest(1, 20)), /SHA-256 entries has entries of 20 bytes/],
    ['a list with a damaged certificate', list(X509, RED_HAT.subarray(0, 900)), /cannot be read/],
    ['a damaged certificate', Buffer.concat([RED_HAT, KEK_2011.subarray(0, 1000)]), /not a certificate/],
    ['DER that is not a certificate', Buffer.from('3003020101', 'hex'), /cannot be read/],
    ['a length without end', Buffer.from('3080', 'hex'), /not a certificate/],
    ['a private key', pem(digest(1), 'PRIVATE KEY'), /private key/],
    ['a certificate and its private key', pem(RED_HAT) + pem(digest(1), 'RSA PRIVATE KEY'), /private key/],
    ['a request for a certificate', pem(digest(1), 'CERTIFICATE REQUEST'), /CERTIFICATE REQUEST/],
    ['PEM that never ends', pem(RED_HAT).slice(0, 200), /no keys/],
    ['a certificate of an elliptic curve', ELLIPTIC, /only RSA/],
    ['a certificate with a key of an unknown type', withKeyType('2a864886f70d010163'), /type unknown, .*only RSA/],
    ['a certificate from a time that is not a date', withoutDate(), /not a date/],
    [
      'an update whose time is zero',
      Buffer.concat([Buffer.alloc(7), update(list(X509, RED_HAT)).subarray(7)]),
      /not a date/,
    ],
    ['two platform keys', Buffer.concat([RED_HAT, KEK_2011]), /one certificate, and it has 2/, 'pk'],
    ['a platform key that is a digest', list(SHA256, digest(1)), /one certificate/, 'pk'],
    ['too much', new Uint8Array(2 ** 20 + 1), /at most 1048576/],
  ])('is refused: %s', (...[, content, message, variable]) => {
    expect(() => read(content, variable)).toThrow(
      expect.objectContaining({ code: 'EFI_DATA_INVALID', message: expect.stringMatching(message) }),
    );
  });
});

describe('variables with custom keys', () => {
  const variables = (options: Partial<Parameters<typeof secureBootVariables>[0]>) =>
    secureBootVariables({ profile: 'none', hashes: [], arch: 'x64', ...options });
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  /** EFI_TIME, and a signature without content. */
  const contentOf = (variable: Uint8Array): string => hex(variable.subarray(40));

  it('have them instead of the built-in keys', () => {
    const own = {
      pk: read(RED_HAT, 'pk'),
      kek: read(KEK_2023),
      db: read(KEK_2011),
      dbx: read(list(SHA256, digest(9))),
    };
    const made = variables({ own });
    expect(contentOf(made.pk)).toBe(hex(list(X509, RED_HAT)));
    expect(contentOf(made.kek)).toBe(hex(list(X509, KEK_2023)));
    expect(contentOf(made.db)).toBe(hex(list(X509, KEK_2011)));
    expect(contentOf(made.dbx)).toBe(hex(list(SHA256, digest(9))));
    const usual = variables({ profile: 'uefi23' });
    const { kek, dbx } = variables({ profile: 'uefi23', own: { pk: own.pk } });
    expect([hex(kek), hex(dbx)]).toEqual([hex(usual.kek), hex(usual.dbx)]);
  });

  it('allow the entries of the profile, then custom keys, then the hashes, with the latest time', () => {
    const own = { db: read(update(list(SHA256, digest(7)))) };
    const { db } = variables({ profile: 'uefi23', hashes: [digest(8)], own });
    const usual = contentOf(variables({ profile: 'uefi23' }).db);
    expect(contentOf(db).startsWith(usual)).toBe(true);
    expect(
      contentOf(db)
        .slice(usual.length)
        .startsWith(hex(list(SHA256, digest(7)))),
    ).toBe(true);
    expect(contentOf(db).endsWith(hex(digest(8)))).toBe(true);
    expect(hex(db.subarray(0, 7))).toBe('e807060708090a');
  });

  it('are the same, byte for byte, as those of an update without a signature', () => {
    const unsigned = update(list(X509, KEK_2011));
    expect(hex(variables({ own: { kek: read(unsigned, 'kek'), db: read(KEK_2023) } }).kek)).toBe(hex(unsigned));
  });
});
