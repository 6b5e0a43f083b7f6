/** The checks of evidence: the list in which they are collected, and those of certificate chains. */
import { isIssuedBy, keyDigest, type ParsedCertificate, type RevocationList, subjectOf } from './certificates';

/** The result of a check. */
export type CheckResult = 'passed' | 'failed' | 'not asked for';

/** One check. */
export interface Check {
  /** Whether it is about the evidence being genuine or about the guest being ours. */
  about: 'genuine' | 'ours';
  /** Short and stable, for programs. */
  name: string;
  result: CheckResult;
  /** What was found, why it failed, or the option that requests the check. */
  detail: string;
}

/** The checks for one question, in order. */
export class Checks {
  readonly list: Check[] = [];

  constructor(private readonly about: Check['about']) {}

  passed(name: string, detail: string): void {
    this.add(name, 'passed', detail);
  }

  failed(name: string, detail: string): void {
    this.add(name, 'failed', detail);
  }

  notAskedFor(name: string, detail: string): void {
    this.add(name, 'not asked for', detail);
  }

  /** @returns `ok` */
  expect(name: string, ok: boolean, good: string, bad: string): boolean {
    this.add(name, ok ? 'passed' : 'failed', ok ? good : bad);
    return ok;
  }

  private add(name: string, result: CheckResult, detail: string): void {
    this.list.push({ about: this.about, name, result, detail });
  }
}

/** The conditions for chains of certificates. */
export interface Trust {
  /** The time at which certificates have to be valid. */
  at: Date;
  revocationLists: readonly RevocationList[];
}

/**
 * Checks a chain from a trusted root to the certificate of the signing key: the issuer and the dates of each certificate, and whether one
 * is revoked.
 * @param chain the root first
 * @param trusted digests of the keys of roots
 * @returns whether the last certificate's key may be used
 */
export function checkChain(
  checks: Checks,
  chain: readonly ParsedCertificate[],
  trusted: ReadonlySet<string>,
  trust: Trust,
): boolean {
  const before = checks.list.length;
  const [root] = chain;
  if (root === undefined) return false;
  checks.expect(
    'root certificate',
    trusted.has(keyDigest(root)) && isIssuedBy(root, root),
    `${root.commonName} is trusted`,
    `${root.name} is not a trusted root: it is not from the maker, or was changed`,
  );
  for (const [index, certificate] of chain.slice(1).entries()) {
    const issuer = chain[index]!;
    checks.expect(
      'certificate chain',
      isIssuedBy(certificate, issuer),
      `${certificate.commonName} was issued by ${issuer.commonName}`,
      `${certificate.name} was not issued by ${issuer.name}`,
    );
  }
  for (const { name, commonName, notBefore, notAfter } of chain) {
    checks.expect(
      'validity',
      notBefore <= trust.at && trust.at <= notAfter,
      `${commonName} is valid until ${dateText(notAfter)}`,
      `${name} is valid from ${dateText(notBefore)} to ${dateText(notAfter)}, not at ${dateText(trust.at)}`,
    );
  }
  checkRevocation(checks, chain, trust);
  return checks.list.slice(before).every(({ result }) => result !== 'failed');
}

const dateText = (date: Date): string => date.toISOString().replace('.000Z', 'Z');

/** Each revocation list must be signed by a certificate of the chain, and be valid at the given time. */
function checkRevocation(checks: Checks, chain: readonly ParsedCertificate[], { at, revocationLists }: Trust): void {
  if (revocationLists.length === 0)
    return checks.notAskedFor('revocation', 'use --crl FILE for lists of revoked certificates');
  for (const { name, issuer, thisUpdate, nextUpdate, serials, isSignedBy } of revocationLists) {
    const index = chain.findIndex((each) => subjectOf(each) === issuer);
    const authority = chain[index];
    if (authority === undefined) checks.failed('revocation', `${name} is not about a certificate of this chain`);
    else if (!isSignedBy(authority.x509.publicKey)) {
      checks.failed('revocation', `${name} is not signed by ${authority.commonName}`);
    } else if (at < thisUpdate || (nextUpdate !== undefined && at > nextUpdate)) {
      const until = nextUpdate === undefined ? '' : ` to ${dateText(nextUpdate)}`;
      checks.failed('revocation', `${name} is valid from ${dateText(thisUpdate)}${until}, not at ${dateText(at)}`);
    } else {
      const issued = chain.slice(index === 0 ? 0 : index + 1, index + 2);
      const revoked = issued.find(({ serial }) => serials.has(serial));
      checks.expect(
        'revocation',
        revoked === undefined,
        `${authority.commonName} has not revoked ${issued.map(({ commonName }) => commonName).join(', ')} (${name})`,
        `${authority.commonName} has revoked ${revoked?.name ?? ''} (${name})`,
      );
    }
  }
}
