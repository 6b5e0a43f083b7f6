import { constants, createHash, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, CertificateList } from '@peculiar/asn1-x509';
import { IgvmError } from '../errors/igvm-error';

/** An X.509 certificate, with the extensions that Node does not show. */
export interface ParsedCertificate {
  /** Its name in messages: the subject's common name and its origin. */
  name: string;
  /** The file, or the part of the evidence, that contains it. */
  origin: string;
  commonName: string;
  x509: X509Certificate;
  notBefore: Date;
  notAfter: Date;
  /** Serial number, hexadecimal without leading zeros. */
  serial: string;
  /** Values of extensions by their dotted object identifiers. */
  extensions: ReadonlyMap<string, Buffer>;
}

/** A certificate revocation list. */
export interface RevocationList {
  name: string;
  /** The issuer's name, DER. */
  issuer: string;
  thisUpdate: Date;
  nextUpdate: Date | undefined;
  /** Serial numbers as in {@link ParsedCertificate}. */
  serials: ReadonlySet<string>;
  /** Whether a key has signed it. */
  isSignedBy: (key: KeyObject) => boolean;
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]*)-----END \1-----(?=[\r\n\0]|$)/g;

/**
 * The blocks of a PEM text. There may be text between blocks, but nothing that looks like a damaged block, so that a changed line can't
 * make a block disappear.
 * @param origin for messages
 * @throws IgvmError CERTIFICATE_INVALID
 */
export function pemBlocks(bytes: Uint8Array, label: string, origin: string): Buffer[] {
  const text = Buffer.from(bytes).toString('latin1');
  const blocks: Buffer[] = [];
  const rest = text.replaceAll(PEM_BLOCK, (_, found: string, base64: string) => {
    const packed = base64.replaceAll(/[\r\n]/g, '');
    const der = Buffer.from(packed, 'base64');
    // Node ignores characters that are not base64, and unused bits of the last character.
    if (found !== label || der.toString('base64') !== packed) throw invalid(`is not a PEM ${label}`, origin);
    blocks.push(der);
    return '';
  });
  if (rest.includes('--')) throw invalid('has a PEM block that is damaged', origin);
  if (blocks.length === 0) throw invalid(`has no PEM ${label}`, origin);
  return blocks;
}

/**
 * Reads certificates: one in DER, or any number in PEM.
 * @param origin a file's name, for messages
 * @throws IgvmError CERTIFICATE_INVALID
 */
export function parseCertificates(bytes: Uint8Array, origin: string): ParsedCertificate[] {
  if (bytes[0] === 0x30) return [parseCertificate(bytes, origin)];
  return pemBlocks(bytes, 'CERTIFICATE', origin).map((der) => parseCertificate(der, origin));
}

/** @throws IgvmError CERTIFICATE_INVALID for anything but exactly one certificate in DER */
export function parseCertificate(der: Uint8Array, origin: string): ParsedCertificate {
  try {
    const x509 = new X509Certificate(der);
    // Refuses other encodings of the same certificate, and bytes after it.
    if (!x509.raw.equals(der)) throw new Error('it is not DER');
    // Reading the key makes Node check it, for instance that its point is on the curve.
    if (x509.publicKey.type !== 'public') throw new Error('it has no public key');
    const { tbsCertificate } = AsnConvert.parse(x509.raw, Certificate);
    const commonName = /^CN=(.*)$/m.exec(x509.subject)?.[1] ?? x509.subject.replaceAll('\n', ', ');
    const extensions = new Map<string, Buffer>();
    for (const { extnID, extnValue } of tbsCertificate.extensions ?? []) {
      if (extensions.has(extnID)) throw new Error(`it has the extension ${extnID} twice`);
      extensions.set(extnID, Buffer.from(extnValue.buffer));
    }
    return {
      name: `${commonName} (${origin})`,
      origin,
      commonName,
      x509,
      notBefore: tbsCertificate.validity.notBefore.getTime(),
      notAfter: tbsCertificate.validity.notAfter.getTime(),
      serial: serialText(Buffer.from(tbsCertificate.serialNumber)),
      extensions,
    };
  } catch (error) {
    throw invalid(`is not an X.509 certificate: ${(error as Error).message}`, origin, error);
  }
}

const PSS = '1.2.840.113549.1.1.10';
const HASHES: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  // AMD's RSASSA-PSS, always with SHA-384 and a salt of the same length.
  [PSS]: 'sha384',
};

/**
 * Reads revocation lists: one in DER, or any number in PEM.
 * @throws IgvmError CERTIFICATE_INVALID
 */
export function parseRevocationLists(bytes: Uint8Array, origin: string): RevocationList[] {
  const lists = bytes[0] === 0x30 ? [Buffer.from(bytes)] : pemBlocks(bytes, 'X509 CRL', origin);
  return lists.map((der) => parseRevocationList(der, origin));
}

function parseRevocationList(der: Buffer, origin: string): RevocationList {
  try {
    const list = AsnConvert.parse(der, CertificateList);
    const { tbsCertList, signatureAlgorithm, signature } = list;
    if (list.tbsCertListRaw === undefined) throw new Error('it has no contents');
    const signed = Buffer.from(list.tbsCertListRaw);
    const algorithm = HASHES[signatureAlgorithm.algorithm];
    if (algorithm === undefined) throw new Error(`its signature algorithm ${signatureAlgorithm.algorithm} is unknown`);
    if (tbsCertList.signature.algorithm !== signatureAlgorithm.algorithm) {
      throw new Error('it names two signature algorithms');
    }
    const padding =
      signatureAlgorithm.algorithm === PSS
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : {};
    return {
      name: origin,
      issuer: nameText(AsnConvert.serialize(tbsCertList.issuer)),
      thisUpdate: tbsCertList.thisUpdate.getTime(),
      nextUpdate: tbsCertList.nextUpdate?.getTime(),
      serials: new Set(
        (tbsCertList.revokedCertificates ?? []).map(({ userCertificate }) => serialText(Buffer.from(userCertificate))),
      ),
      isSignedBy: (key) => verify(algorithm, signed, { key, ...padding }, Buffer.from(signature)),
    };
  } catch (error) {
    throw invalid(`is not a certificate revocation list: ${(error as Error).message}`, origin, error);
  }
}

/** The name of a certificate's subject, for comparison with the issuer of a revocation list. */
export const subjectOf = ({ x509 }: ParsedCertificate): string =>
  nameText(AsnConvert.serialize(AsnConvert.parse(x509.raw, Certificate).tbsCertificate.subject));

const nameText = (der: ArrayBuffer): string => Buffer.from(der).toString('hex');

const serialText = (bytes: Buffer): string => bytes.toString('hex').replace(/^0+(?=.)/, '');

/** SHA-256 of a certificate's key, lower-case hexadecimal. Roots are trusted by their keys, so that a renewed root stays trusted. */
export const keyDigest = ({ x509 }: ParsedCertificate): string =>
  createHash('sha256')
    .update(x509.publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex');

/** Whether a certificate names another as its issuer and is signed by the other's key. */
export function isIssuedBy(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  try {
    return certificate.x509.issuer === issuer.x509.subject && certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    return false;
  }
}

const invalid = (message: string, file: string, cause?: unknown): IgvmError =>
  new IgvmError('CERTIFICATE_INVALID', message, { file }, { cause });
