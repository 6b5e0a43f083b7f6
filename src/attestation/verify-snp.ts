import { verify } from 'node:crypto';
import { AMD_GENERATIONS } from './built-in-certificates';
import { isIssuedBy, keyDigest, parseCertificate, type ParsedCertificate } from './certificates';
import { checkChain, Checks, type Trust } from './checks';
import { type GenerationName, isZero, SNP_REPORT_VERSIONS, type SnpReport, tcbDifferences } from './snp-report';

/** Object identifiers of extensions in VCEK and VLEK certificates (AMD 57230, table 8). */
const PRODUCT_NAME = '1.3.6.1.4.1.3704.1.2';
const CHIP_ID = '1.3.6.1.4.1.3704.1.4';

/** The signer of a report, by the number in it. */
const SIGNERS: Readonly<Record<number, { leaf: string; issuer: string }>> = {
  0: { leaf: 'VCEK', issuer: 'SEV-' },
  1: { leaf: 'VLEK', issuer: 'SEV-VLEK-' },
};

/** The certificates for building the chain of a report. */
export interface SnpTrust extends Trust {
  /** From the user or the host; not trusted by themselves. */
  certificates: readonly ParsedCertificate[];
  /** Roots that the user trusts in addition to AMD's. */
  roots: readonly ParsedCertificate[];
}

/** The origin of a report. */
export interface SnpGenuineness {
  checks: Checks;
  /** The generation of the processor; undefined if no chain proves it. */
  generation: GenerationName | undefined;
}

const builtIn = (): ParsedCertificate[] =>
  AMD_GENERATIONS.flatMap(({ ark, ask, asvk }) =>
    [ark, ask, asvk].map((der) => parseCertificate(Buffer.from(der, 'base64'), 'built in')),
  );

const isRoot = ({ x509 }: ParsedCertificate): boolean => x509.subject === x509.issuer;

/** Checks that the firmware of an AMD processor made a report: its signature, the chain of the key, and that key and report match. */
export function verifySnpReport(report: SnpReport, trust: SnpTrust): SnpGenuineness {
  const checks = new Checks('genuine');
  const { version, signatureAlgorithm, signingKey, isChipKeyMasked } = report;
  checks.expect(
    'report version',
    SNP_REPORT_VERSIONS.includes(version),
    String(version),
    `${version} is not known (known: ${SNP_REPORT_VERSIONS.join(', ')})`,
  );
  const signer = SIGNERS[signingKey];
  const isSigned = signer !== undefined && !isChipKeyMasked && signatureAlgorithm === 1;
  checks.expect(
    'signing key',
    isSigned,
    `${signer?.leaf}, ECDSA P-384 with SHA-384`,
    isChipKeyMasked ? 'the host keeps the firmware from signing' : `key ${signingKey}, algorithm ${signatureAlgorithm}`,
  );
  if (!isSigned || signer === undefined) return { checks, generation: undefined };
  const known = builtIn();
  const trusted = new Set([...known.filter(isRoot), ...trust.roots].map(keyDigest));
  const given = [...trust.certificates, ...trust.roots];
  checkGiven(checks, given, known);
  const leaf = leafOf(checks, given, `SEV-${signer.leaf}`, report);
  if (leaf === undefined) return { checks, generation: undefined };
  // Given certificates come first, so that a damaged one is not silently replaced by a built-in one.
  const pool = [...given, ...known];
  const issuer = issuerOf(leaf, pool);
  const root = issuer && issuerOf(issuer, pool);
  if (issuer === undefined || root === undefined) {
    const missing = issuer === undefined ? leaf : issuer;
    const wanted = missing.x509.issuer.replaceAll('\n', ', ');
    checks.failed('certificate chain', `${missing.name} is not signed by any built-in or given ${wanted}`);
    return { checks, generation: undefined };
  }
  checkChain(checks, [root, issuer, leaf], trusted, trust);
  const generation = generationOf(checks, signer.issuer, [root, issuer], leaf, report);
  checks.expect(
    'report signature',
    report.signature !== undefined && isSignedBy(report, leaf),
    `made by the key of ${leaf.commonName}`,
    `not made by the key of ${leaf.name}`,
  );
  if (generation !== undefined) checkLeaf(checks, leaf, report, generation, signer.leaf);
  return { checks, generation };
}

/** Every given certificate must have a known issuer, even if the chain doesn't need it. */
function checkGiven(checks: Checks, given: readonly ParsedCertificate[], known: readonly ParsedCertificate[]): void {
  const odd = given.filter((each) => ![...given, ...known].some((issuer) => isIssuedBy(each, issuer)));
  checks.expect(
    'certificates given',
    odd.length === 0,
    given.length === 0 ? 'none' : given.map(({ commonName }) => commonName).join(', '),
    `no built-in or given issuer has signed ${odd.map(({ name }) => name).join(', ')}`,
  );
}

function leafOf(
  checks: Checks,
  given: readonly ParsedCertificate[],
  commonName: string,
  report: SnpReport,
): ParsedCertificate | undefined {
  const leaves = given.filter((each) => each.commonName === commonName);
  // The certificates of several machines may be given together. The one whose key made the signature is used, or else the first.
  const leaf = leaves.find((each) => isSignedBy(report, each)) ?? leaves[0];
  if (leaf === undefined) {
    checks.failed(
      'certificate chain',
      `there is no certificate of ${commonName}: give the chip's or provider's with --certificate`,
    );
  }
  return leaf;
}

const issuerOf = (certificate: ParsedCertificate, pool: readonly ParsedCertificate[]): ParsedCertificate | undefined =>
  pool.find((each) => isIssuedBy(certificate, each));

function isSignedBy({ signed, signature }: SnpReport, { x509 }: ParsedCertificate): boolean {
  const { publicKey } = x509;
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'secp384r1' || signature === undefined) return false;
  return verify('sha384', signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
}

/** The generation of a processor by its family and model (AMD 57230; PPRs of families 19h and 1Ah). */
function generationOfCpu({ family, model }: NonNullable<SnpReport['cpu']>): GenerationName | undefined {
  if (family === 0x19 && model <= 0x0f) return 'Milan';
  if (family === 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf))) return 'Genoa';
  if (family === 0x1a && model <= 0x11) return 'Turin';
  return undefined;
}

/** The generation must be the same in the names of the chain, in the leaf's product name, and in the report. */
function generationOf(
  checks: Checks,
  prefix: string,
  [root, issuer]: readonly [ParsedCertificate, ParsedCertificate],
  leaf: ParsedCertificate,
  { cpu }: SnpReport,
): GenerationName | undefined {
  const found = AMD_GENERATIONS.find(
    ({ name }) => root.commonName === `ARK-${name}` && issuer.commonName === `${prefix}${name}`,
  );
  if (found === undefined) {
    checks.failed(
      'processor generation',
      `${root.commonName} and ${issuer.commonName} do not form a chain of AMD for this key`,
    );
    return undefined;
  }
  const { name } = found;
  const product = leaf.extensions.get(PRODUCT_NAME)?.subarray(2).toString('latin1') ?? '';
  const ofCpu = cpu && generationOfCpu(cpu);
  const complaints = [
    ...(product === name || product.startsWith(`${name}-`) ? [] : [`the certificate is for "${product}"`]),
    ...(cpu === undefined || ofCpu === name
      ? []
      : [`the report is from ${ofCpu ?? 'an unknown generation'} (family ${cpu.family}, model ${cpu.model})`]),
  ];
  checks.expect(
    'processor generation',
    complaints.length === 0,
    name,
    `the chain is of ${name}, ${complaints.join(', ')}`,
  );
  return name;
}

/** Checks that the key belongs to this chip and this version of its firmware. */
function checkLeaf(
  checks: Checks,
  leaf: ParsedCertificate,
  { chipId, reportedTcb }: SnpReport,
  generation: GenerationName,
  kind: string,
): void {
  const differences = tcbDifferences(reportedTcb, leaf.extensions, generation);
  checks.expect('TCB of the key', differences.length === 0, 'report and certificate agree', differences.join('; '));
  if (kind === 'VLEK') return checks.notAskedFor('chip', 'a VLEK belongs to a cloud provider, not to a chip');
  if (isZero(chipId)) return checks.notAskedFor('chip', 'the host hides the ID of the chip');
  const stated = leaf.extensions.get(CHIP_ID);
  checks.expect(
    'chip',
    stated !== undefined && isChip(chipId, stated),
    'report and certificate name the same chip',
    'report and certificate name different chips',
  );
}

/** 64 bytes, or with Turin 8 and zeros in the report; in newer certificates as an OCTET STRING. */
function isChip(chipId: Buffer, stated: Buffer): boolean {
  const isString = stated[0] === 0x04 && stated[1] === stated.length - 2 && [8, 64].includes(stated.length - 2);
  const id = isString ? stated.subarray(2) : stated;
  if (id.length !== 8 && id.length !== 64) return false;
  return chipId.subarray(0, id.length).equals(id) && isZero(chipId.subarray(id.length));
}
