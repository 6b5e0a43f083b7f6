import { IgvmError } from '../errors/igvm-error';
import { printable, printableJson } from '../errors/printable';
import { type Launch, launchesOfOptions, type LaunchOptions } from '../measurement/launches';
import { parseRevocationLists } from './certificates';
import { type Check, Checks } from './checks';
import { compareSnpGuest, compareTdxGuest, type Demands } from './compare-guest';
import { certificatesOf, CRL_LIMIT, decodedEvidence, EVIDENCE_LIMIT, readEvidenceFile as read } from './evidence-file';
import {
  type EvidencePlatform,
  type Expectations,
  expectationsOfImage,
  expectationsOfLock,
  type Looked,
} from './expectations';
import { isSnpEvidence, parseSnpEvidence, signatureOf } from './snp-report';
import { isTdxEvidence, parseTdxQuote, type TdxQuote } from './tdx-quote';
import { type SnpTrust, verifySnpReport } from './verify-snp';
import { type TdxTrust, verifyTdxQuote } from './verify-tdx';

/** The verdict about evidence. */
export type Verdict = 'not genuine' | 'genuine, not ours' | 'genuine' | 'ours';

export interface VerifyReportOptions extends Demands {
  /** Path of the report. */
  report: string;
  /** Paths of certificates in DER or PEM, or of the host's table of them. They are not trusted by themselves. */
  certificates?: readonly string[];
  /** Paths of certificates to trust as roots, in addition to those of the makers. */
  roots?: readonly string[];
  /** Paths of revocation lists, in DER or PEM. */
  crls?: readonly string[];
  /** The time at which certificates must be valid. Default: now. */
  at?: Date;
  /** Paths of the lock and the image. The lock decides; the image can explain why a measurement differs. */
  lock?: string;
  image?: string;
  /** Path of the event log (CCEL) of a TDX guest. */
  eventLog?: string;
  /** The expected launches of an image. Default: all that are recognised. */
  launches?: readonly Launch[];
  /** Makes the name of a path for messages. Default: the path. */
  display?: (path: string) => string;
}

export interface EvidenceReport {
  verdict: Verdict;
  /** `snp` or `tdx`. */
  platform: EvidencePlatform;
  checks: Check[];
}

/**
 * Verifies the evidence of a running guest: first whether it is from a genuine processor, then whether the guest is from the build.
 * @throws IgvmError EVIDENCE_INVALID for a file that is not evidence, CERTIFICATE_INVALID, FILE_UNREADABLE; those of locks and images
 */
export async function verifyReport(options: VerifyReportOptions): Promise<EvidenceReport> {
  const { report: path, crls = [], at = new Date() } = options;
  const bytes = decodedEvidence(read(path, EVIDENCE_LIMIT));
  const trust = {
    at,
    roots: certificatesOf(options.roots),
    revocationLists: crls.flatMap((each) => parseRevocationLists(read(each, CRL_LIMIT), each)),
  };
  const given = certificatesOf(options.certificates);
  const trusted = { ...trust, certificates: given };
  const result = isTdxEvidence(bytes)
    ? await verifyTdx(parseTdxQuote(bytes, path), trusted, options)
    : await verifySnp(bytes, trusted, options);
  const [genuine, ours] = result.checks;
  return {
    verdict: verdictOf(genuine, ours, options.lock !== undefined || options.image !== undefined),
    platform: result.platform,
    checks: [...genuine.list, ...ours.list],
  };
}

interface Answers {
  platform: EvidencePlatform;
  /** Is it genuine, is it ours? */
  checks: [Checks, Checks];
}

async function verifySnp(bytes: Buffer, trust: SnpTrust, options: VerifyReportOptions): Promise<Answers> {
  const { report: path, eventLog } = options;
  if (!isSnpEvidence(bytes)) {
    throw new IgvmError('EVIDENCE_INVALID', 'is neither an SEV-SNP report nor a TDX quote', { file: path });
  }
  if (eventLog !== undefined)
    throw new IgvmError('USAGE', 'an event log belongs to a TDX quote, not to an SEV-SNP report');
  const { report, certificates, surplus } = parseSnpEvidence(bytes, path);
  const given = [...trust.certificates, ...certificates];
  const { checks, generation } = verifySnpReport(report, { ...trust, certificates: given });
  noteSurplus(checks, surplus);
  const { expected, explained } = await expectations(options, 'snp', {
    measurement: report.measurement,
    signature: signatureOf(report),
  });
  const ours = new Checks('ours');
  compareSnpGuest(ours, report, generation, options, expected, explained);
  return { platform: 'snp', checks: [checks, ours] };
}

async function verifyTdx(quote: TdxQuote, trust: TdxTrust, options: VerifyReportOptions): Promise<Answers> {
  const { eventLog: path } = options;
  const checks = verifyTdxQuote(quote, trust);
  noteSurplus(checks, quote.surplus);
  const { expected, explained } = await expectations(options, 'tdx', { measurement: quote.mrTd });
  const log = path === undefined ? undefined : { bytes: read(path, CRL_LIMIT), origin: path };
  const ours = new Checks('ours');
  compareTdxGuest(ours, quote, options, expected, explained, log);
  return { platform: 'tdx', checks: [checks, ours] };
}

/** Reports unused bytes after the evidence, whose buffers may be larger. */
function noteSurplus(checks: Checks, surplus: number): void {
  if (surplus > 0) checks.notAskedFor('bytes behind the evidence', `${surplus}, which no signature covers`);
}

async function expectations(
  { lock, image, launches, display = (each) => each }: VerifyReportOptions,
  platform: EvidencePlatform,
  looked: Looked,
): Promise<{ expected: Expectations | undefined; explained: Expectations | undefined }> {
  const ofLock = lock === undefined ? undefined : expectationsOfLock(lock, display(lock), platform);
  const ofImage =
    image === undefined ? undefined : await expectationsOfImage(image, display(image), platform, launches, looked);
  return ofLock === undefined ? { expected: ofImage, explained: undefined } : { expected: ofLock, explained: ofImage };
}

const hasFailed = ({ list }: Checks): boolean => list.some(({ result }) => result === 'failed');

function verdictOf(genuine: Checks, ours: Checks, hasBuild: boolean): Verdict {
  if (hasFailed(genuine)) return 'not genuine';
  if (hasFailed(ours)) return 'genuine, not ours';
  return hasBuild ? 'ours' : 'genuine';
}

const VERDICTS: Readonly<Record<Verdict, string>> = {
  'not genuine': 'not genuine: no processor vouches for it, so nothing in it can be trusted',
  'genuine, not ours': 'genuine, but not ours',
  genuine: 'genuine; use --lock or --image to check whether it is ours',
  ours: 'genuine, and ours',
};

const QUESTIONS = { genuine: 'Is it genuine?', ours: 'Is it ours?' } as const;

/** A report for people: a line for each check, and the verdict last. */
export function evidenceText({ checks, verdict }: EvidenceReport): string {
  const lines = (Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]).flatMap((about) => [
    QUESTIONS[about],
    ...checks
      .filter((check) => check.about === about)
      .map(({ result, name, detail }) => `  ${result.padEnd(13)}  ${printable(`${name}: ${detail}`)}`),
  ]);
  return `${lines.join('\n')}\n${VERDICTS[verdict]}\n`;
}

/** A report for programs. */
export const evidenceJson = ({ verdict, platform, checks }: EvidenceReport): string =>
  `${printableJson({ verdict, platform, checks })}\n`;

/** The requirements for evidence in the form of options. */
export interface EvidenceOptions extends LaunchOptions {
  /** Paths. */
  certificates?: readonly string[];
  roots?: readonly string[];
  crls?: readonly string[];
  lock?: string;
  image?: string;
  eventLog?: string;
  /** ISO 8601 with a time zone, or a date. */
  at?: string;
  /** Hexadecimal digits. */
  reportData?: string;
  nonce?: string;
  hostData?: string;
  idKeyDigest?: string;
  authorKeyDigest?: string;
  minimumTcb?: string;
  /** Numbers. */
  guestSvn?: string | number;
  vmpl?: string | number;
}

/**
 * Verifies evidence as options request it.
 * @param at makes a path absolute
 * @param display makes the name of an absolute path for messages
 * @param nameOf makes the name of an option for messages
 * @throws IgvmError USAGE for an invalid option, and as `verifyReport`
 */
export function verifyReportOfOptions(
  report: string,
  options: EvidenceOptions,
  {
    at,
    display,
    nameOf,
  }: { at: (path: string) => string; display: (path: string) => string; nameOf: (option: string) => string },
): Promise<EvidenceReport> {
  const { vmm, vcpus, cpu, kvmMode, lock, image, eventLog } = options;
  const isLaunchGiven = [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);
  if (isLaunchGiven && (image === undefined || vmm === undefined)) {
    throw new IgvmError('USAGE', `a launch needs ${nameOf('image')} and ${nameOf('vmm')}`);
  }
  const bytes = (name: HexOption): Buffer | undefined => bytesOf(nameOf(name), options[name], SIZES[name]);
  const path = (text: string | undefined): string | undefined => (text === undefined ? undefined : at(text));
  const request: VerifyReportOptions = {
    report: at(report),
    certificates: options.certificates?.map(at),
    roots: options.roots?.map(at),
    crls: options.crls?.map(at),
    at: timeOf(nameOf('at'), options.at),
    lock: path(lock),
    image: path(image),
    launches: isLaunchGiven ? launchesOfOptions({ vmm, vcpus, cpu, kvmMode }) : undefined,
    display,
    reportData: bytes('reportData'),
    nonce: bytes('nonce'),
    hostData: bytes('hostData'),
    minimumTcb: options.minimumTcb,
    eventLog: path(eventLog),
    guestSvn: wholeNumber(nameOf('guestSvn'), options.guestSvn, 0xffff_ffff),
    vmpl: wholeNumber(nameOf('vmpl'), options.vmpl, 3),
    idKeyDigest: bytes('idKeyDigest'),
    authorKeyDigest: bytes('authorKeyDigest'),
  };
  return verifyReport(request);
}

/** The fewest and most bytes of an option, and the size to which it is padded with zeros. */
const SIZES = {
  reportData: { least: 1, most: 64, fill: 64 },
  nonce: { least: 8, most: 64 },
  hostData: { least: 32, most: 32 },
  idKeyDigest: { least: 48, most: 48 },
  authorKeyDigest: { least: 48, most: 48 },
} as const satisfies Record<string, Size>;

type HexOption = keyof typeof SIZES;

interface Size {
  readonly least: number;
  readonly most: number;
  readonly fill?: number;
}

/** ISO 8601 with a time zone, or only a date. Other forms mean different times on different machines. */
function timeOf(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const isExact = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = new Date(text);
  if (isExact && !Number.isNaN(time.getTime())) return time;
  throw new IgvmError('USAGE', `${name} is "${text}", which is not a time such as 2026-03-01T12:00:00Z`);
}

function bytesOf(name: string, text: string | undefined, { least, most, fill }: Size): Buffer | undefined {
  if (text === undefined) return undefined;
  const digits = text.replace(/^0x/i, '');
  const size = digits.length / 2;
  if (!/^[0-9a-f]*$/i.test(digits) || !Number.isInteger(size) || size < least || size > most) {
    const wanted = least === most ? String(least) : `${least} to ${most}`;
    throw new IgvmError('USAGE', `${name} is not ${wanted} bytes in hexadecimal digits`);
  }
  return Buffer.concat([Buffer.from(digits, 'hex'), Buffer.alloc(fill === undefined ? 0 : fill - size)]);
}

function wholeNumber(name: string, value: string | number | undefined, most: number): number | undefined {
  if (value === undefined) return undefined;
  const text = String(value);
  if (!/^\d{1,10}$/.test(text) || Number(text) > most) {
    throw new IgvmError('USAGE', `${name} is "${text}", which is not a whole number from 0 to ${most}`);
  }
  return Number(text);
}
