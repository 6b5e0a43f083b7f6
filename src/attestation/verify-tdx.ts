import { createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { INTEL_SGX_ROOT } from './built-in-certificates';
import { isIssuedBy, keyDigest, parseCertificate, type ParsedCertificate } from './certificates';
import { checkChain, Checks, type Trust } from './checks';
import { isZero } from './snp-report';
import type { TdxQuote } from './tdx-quote';

/** The vendor ID of Intel's quoting enclave. */
const INTEL = '939a7233f79c4ca9940a0db3957f0607';

/** Extension of a PCK certificate with the platform's TCB (Intel SGX PCK certificate specification, 1.3.5). */
const SGX_EXTENSION = '1.2.840.113741.1.13.1';

/** Names of the authorities that issue PCK certificates. */
const PCK_AUTHORITIES: readonly string[] = ['Intel SGX PCK Platform CA', 'Intel SGX PCK Processor CA'];

const ENCLAVE_DEBUG = 2n;

/** The certificates for building the chain of a quote. */
export interface TdxTrust extends Trust {
  /** In addition to those in the quote; not trusted by themselves. */
  certificates: readonly ParsedCertificate[];
  /** Roots that the user trusts in addition to Intel's. */
  roots: readonly ParsedCertificate[];
}

/** Checks that Intel's quoting enclave on a genuine platform made a quote: three signatures, and the chain of the platform's key. */
export function verifyTdxQuote(quote: TdxQuote, trust: TdxTrust): Checks {
  const checks = new Checks('genuine');
  checks.passed('quote version', String(quote.version));
  const { attestationKeyType, vendor, enclave } = quote;
  checks.expect(
    'signing key',
    attestationKeyType === 2,
    'ECDSA P-256',
    `the attestation key has type ${attestationKeyType}, and only ECDSA P-256 (2) is supported`,
  );
  const root = parseCertificate(Buffer.from(INTEL_SGX_ROOT, 'base64'), 'built in');
  const given = [...quote.certificates, ...trust.certificates, ...trust.roots];
  const odd = given.filter((each) => ![...given, root].some((issuer) => isIssuedBy(each, issuer)));
  checks.expect(
    'certificates given',
    odd.length === 0,
    given.map(({ commonName }) => commonName).join(', '),
    `no built-in or given issuer has signed ${odd.map(({ name }) => name).join(', ')}`,
  );
  const pck = pckOf(checks, quote, given, root, trust);
  checks.expect(
    "quoting enclave's signature",
    pck !== undefined && isP256SignatureBy(pck.x509.publicKey, enclave.bytes, quote.enclaveSignature),
    'made by the key of the platform (PCK)',
    'not made by the key of the platform (PCK)',
  );
  checks.expect(
    'quoting enclave',
    vendor === INTEL && (enclave.flags & ENCLAVE_DEBUG) === 0n,
    "Intel's, not for debugging",
    vendor === INTEL ? 'it is an enclave for debugging' : `its maker is ${vendor}, not Intel`,
  );
  const bound = createHash('sha256').update(quote.attestationKey).update(quote.authenticationData).digest();
  checks.expect(
    'attestation key',
    enclave.reportData.subarray(0, 32).equals(bound) && isZero(enclave.reportData.subarray(32)),
    'the quoting enclave vouches for it',
    'the quoting enclave vouches for another key',
  );
  const key = p256KeyOf(quote.attestationKey);
  checks.expect(
    'quote signature',
    key !== undefined && isP256SignatureBy(key, quote.signed, quote.signature),
    'made by the attestation key',
    'not made by the attestation key',
  );
  checks.notAskedFor(
    'state of the TCB',
    "Intel's TCB info and identity of the quoting enclave are not looked at; --minimum-tcb HEX compares the versions",
  );
  return checks;
}

function pckOf(
  checks: Checks,
  { certificates: [pck] }: TdxQuote,
  given: readonly ParsedCertificate[],
  builtInRoot: ParsedCertificate,
  trust: TdxTrust,
): ParsedCertificate | undefined {
  const pool = [...given, builtInRoot];
  const issuerOf = (each: ParsedCertificate | undefined): ParsedCertificate | undefined =>
    each && pool.find((issuer) => isIssuedBy(each, issuer));
  const authority = issuerOf(pck);
  const root = issuerOf(authority);
  if (pck === undefined || authority === undefined || root === undefined) {
    checks.failed('certificate chain', 'it does not lead to a built-in or given root');
    return undefined;
  }
  checkChain(checks, [root, authority, pck], new Set([builtInRoot, ...trust.roots].map(keyDigest)), trust);
  checks.expect(
    'platform key',
    PCK_AUTHORITIES.includes(authority.commonName) && pck.extensions.has(SGX_EXTENSION),
    `a PCK certificate of ${authority.commonName}`,
    `${pck.name}, issued by ${authority.name}, is not a PCK certificate`,
  );
  return pck;
}

function p256KeyOf(point: Buffer): KeyObject | undefined {
  const [x, y] = [point.subarray(0, 32), point.subarray(32)].map((part) => part.toString('base64url'));
  try {
    return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y } as JsonWebKey, format: 'jwk' });
  } catch {
    return undefined;
  }
}

const isP256SignatureBy = (key: KeyObject, bytes: Buffer, signature: Buffer): boolean =>
  key.asymmetricKeyDetails?.namedCurve === 'prime256v1' &&
  verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature);
