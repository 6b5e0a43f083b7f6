import { IgvmError } from '../errors/igvm-error';
import { hex, printable } from '../errors/printable';
import { SNP_POLICY_DEBUG } from '../loader/guest/guest-platform';
import type { Checks } from './check';
import type { Expectations, ExpectedDigest } from './expectations';
import { type GenerationName, isZero, parseMinimumTcb, type SnpReport, tcbParts, tcbText } from './snp-report';
import { replayEventLog, type TdxQuote } from './tdx-quote';

/** What the user wants of evidence besides what a lock or an image says. Undefined: not asked for. */
export interface Demands {
  /** All 64 bytes. */
  reportData?: Buffer | undefined;
  /** What the report data begins with, 1 to 64 bytes. */
  nonce?: Buffer | undefined;
  /** 32 bytes, of SEV-SNP. */
  hostData?: Buffer | undefined;
  /** The lowest versions of the firmware's parts: of SEV-SNP as `parseMinimumTcb` reads them, of TDX 16 bytes in hexadecimal. */
  minimumTcb?: string | undefined;
  /** The lowest security version of the guest, of SEV-SNP. */
  guestSvn?: number | undefined;
  /** Of SEV-SNP. Default: 0 when there is a lock or an image. */
  vmpl?: number | undefined;
  /** SHA-384 of keys, 48 bytes, of SEV-SNP. */
  idKeyDigest?: Buffer | undefined;
  authorKeyDigest?: Buffer | undefined;
}

const FROM_BUILD = '--lock or --image says what to expect';

/** The launch digest: whose guest it is, and how it was launched. */
export function compareMeasurement(
  checks: Checks,
  measurement: Buffer,
  expected: Expectations | undefined,
  explained: Expectations | undefined,
): void {
  const digest = measurement.toString('hex').toUpperCase();
  if (expected === undefined) return checks.notAskedFor('measurement', `${digest}; ${FROM_BUILD}`);
  const source = printable(expected.source);
  if (expected.missing !== undefined) return checks.failed('measurement', printable(expected.missing));
  const launches = (among: readonly ExpectedDigest[]): (string | undefined)[] =>
    among.filter((each) => each.digest === digest).map(({ launch }) => launch);
  const matches = launches(expected.digests);
  if (matches.length > 0) {
    const how = launchesText(matches);
    return checks.passed('measurement', `the guest of ${source}${how === '' ? '' : `, launched by ${how}`}`);
  }
  const count = expected.digests.length;
  const none = `${digest} is ${count < 2 ? 'not the launch digest' : `none of the ${count} launch digests`} of ${source}`;
  const others = [expected, explained].flatMap((each) => [...(each?.digests ?? []), ...(each?.others ?? [])]);
  const same = others.filter((each) => each.digest === digest);
  const [loaded] = same.filter(({ refusal }) => refusal === undefined);
  const [refused] = same;
  if (loaded !== undefined) {
    const how = launchesText(same.filter(({ refusal }) => refusal === undefined).map(({ launch }) => launch));
    const wanted = launchesText(expected.digests.map(({ launch }) => launch));
    checks.failed('measurement', `${none}: it is the image launched by ${how}, and expected is ${wanted}`);
  } else if (refused?.refusal !== undefined) {
    const why = `which does not launch this file: ${printable(refused.refusal)}`;
    checks.failed('measurement', `${none}: it is what its pages measure with ${refused.launch}, ${why}`);
  } else {
    const hasLooked = explained !== undefined || expected.isImage;
    const why = hasLooked ? 'with any launch that is known' : '--image FILE tells whether it is of another launch';
    checks.failed('measurement', hasLooked ? `${none} ${why}` : `${none}; ${why}`);
  }
}

/** Launches that give one digest, the first few by name. */
function launchesText(launches: readonly (string | undefined)[]): string {
  const names = [...new Set(launches.filter((launch) => launch !== undefined))];
  const shown = names.slice(0, 4).join(' or ');
  return names.length > 4 ? `${shown} or ${names.length - 4} more` : shown;
}

function comparePolicy(checks: Checks, policy: bigint, expected: Expectations | undefined): void {
  if (expected?.policy === undefined) {
    const why = expected === undefined ? FROM_BUILD : `${printable(expected.source)} has none`;
    return checks.notAskedFor('policy', `${hex(policy)}; ${why}`);
  }
  const bad = `${hex(policy)}, and ${printable(expected.source)} has ${hex(expected.policy)}`;
  checks.expect('policy', policy === expected.policy, hex(policy), bad);
}

export function compareDebug(checks: Checks, isDebug: boolean, expected: Expectations | undefined): void {
  const found = isDebug ? 'the host may debug the guest and read its memory' : 'the host may not debug the guest';
  if (expected === undefined) checks.notAskedFor('debug', `${found}; ${FROM_BUILD}`);
  else if (isDebug && !expected.debug) {
    checks.failed('debug', `${found}, which ${printable(expected.source)} does not allow`);
  } else checks.passed('debug', isDebug ? `${found}, as ${printable(expected.source)} says` : found);
}

/** Report data and nonce, which TDX has as well. */
export function compareReportData(checks: Checks, reportData: Buffer, { reportData: wanted, nonce }: Demands): void {
  const found = reportData.toString('hex');
  if (wanted === undefined) checks.notAskedFor('report data', `${found}; --report-data HEX asks for it`);
  else
    checks.expect(
      'report data',
      reportData.equals(wanted),
      found,
      `${found}, and expected is ${wanted.toString('hex')}`,
    );
  if (nonce === undefined) return checks.notAskedFor('nonce', '--nonce HEX asks for it');
  checks.expect(
    'nonce',
    reportData.subarray(0, nonce.length).equals(nonce),
    'the report data begins with it',
    `the report data does not begin with ${nonce.toString('hex')}: it may be a report of another time`,
  );
}

/** Whether a report is of a guest of the build, launched as it should be, and answers what the user asked. */
export function compareSnpGuest(
  checks: Checks,
  report: SnpReport,
  generation: GenerationName | undefined,
  demands: Demands,
  expected: Expectations | undefined,
  explained: Expectations | undefined,
): void {
  compareMeasurement(checks, report.measurement, expected, explained);
  comparePolicy(checks, report.policy, expected);
  compareDebug(checks, (report.policy & SNP_POLICY_DEBUG) !== 0n, expected);
  compareIdentity(checks, report, demands, expected, explained);
  compareVmpl(checks, report.vmpl, demands.vmpl ?? (expected === undefined ? undefined : 0));
  compareReportData(checks, report.reportData, demands);
  compareBytes(checks, 'host data', report.hostData, demands.hostData, '--host-data HEX');
  compareTcb(checks, report.reportedTcb, generation, demands.minimumTcb);
}

function compareIdentity(
  checks: Checks,
  report: SnpReport,
  demands: Demands,
  expected: Expectations | undefined,
  explained: Expectations | undefined,
): void {
  const hasBlock = !isZero(report.idKeyDigest);
  const inImage = [expected, explained].find((each) => each?.hasIdBlock === true);
  const identity = { ...expected?.identity, ...inImage?.identity };
  if (inImage !== undefined || hasBlock) {
    checks.expect(
      'ID block',
      inImage === undefined || hasBlock,
      'the guest was launched with one',
      `${printable(inImage?.source ?? '')} has one, and the guest was launched without`,
    );
  } else
    checks.notAskedFor('ID block', 'the guest was launched without, so its report has no security version and IDs');
  const lowest = demands.guestSvn;
  if (lowest !== undefined) {
    const bad = `${report.guestSvn}, and ${lowest} or more is expected`;
    checks.expect('guest SVN', report.guestSvn >= lowest, String(report.guestSvn), bad);
  } else if (identity.svn !== undefined && hasBlock) {
    const bad = `${report.guestSvn}, and the build has ${identity.svn}`;
    checks.expect('guest SVN', report.guestSvn === identity.svn, String(report.guestSvn), bad);
  } else checks.notAskedFor('guest SVN', `${report.guestSvn}; --guest-svn NUMBER asks for the lowest`);
  for (const [name, found, wanted] of [
    ['family ID', report.familyId, identity.familyId],
    ['image ID', report.imageId, identity.imageId],
  ] as const) {
    const bytes = hasBlock && wanted !== undefined ? Buffer.from(wanted, 'hex') : undefined;
    compareBytes(checks, name, found, bytes, 'a lock or image with an ID block');
  }
  const key = (demand: Buffer | undefined, text: string | undefined): Buffer | undefined =>
    demand ?? (text === undefined ? undefined : Buffer.from(text, 'hex'));
  const idKey = key(demands.idKeyDigest, identity.idKeyDigest);
  compareBytes(checks, 'ID key', report.idKeyDigest, idKey, '--id-key-digest HEX');
  const authorKey = key(demands.authorKeyDigest, identity.authorKeyDigest);
  compareBytes(checks, 'author key', report.authorKeyDigest, authorKey, '--author-key-digest HEX');
}

function compareVmpl(checks: Checks, vmpl: number, wanted: number | undefined): void {
  const found =
    vmpl === 0xffff_ffff ? 'the host asked for the report, not the guest' : `VMPL ${vmpl} asked for the report`;
  if (wanted === undefined) return checks.notAskedFor('VMPL', `${found}; --vmpl NUMBER asks for one`);
  checks.expect('VMPL', vmpl === wanted, found, `${found}, and VMPL ${wanted} is expected`);
}

function compareBytes(checks: Checks, name: string, found: Buffer, wanted: Buffer | undefined, asks: string): void {
  const text = found.toString('hex');
  if (wanted === undefined) return checks.notAskedFor(name, `${text}; ${asks} asks for it`);
  checks.expect(name, found.equals(wanted), text, `${text}, and expected is ${wanted.toString('hex')}`);
}

function compareTcb(
  checks: Checks,
  tcb: Buffer,
  generation: GenerationName | undefined,
  text: string | undefined,
): void {
  const minimum = text === undefined ? undefined : parseMinimumTcb(text);
  if (generation === undefined) {
    if (minimum === undefined) checks.notAskedFor('minimum TCB', '--minimum-tcb LIST asks for it');
    else checks.failed('minimum TCB', 'the generation of the processor is not known');
    return;
  }
  const parts = tcbParts(tcb, generation);
  if (minimum === undefined) {
    return checks.notAskedFor('minimum TCB', `${tcbText(parts)}; --minimum-tcb LIST asks for it`);
  }
  const low = [...minimum].flatMap(([part, lowest]) => {
    const version = parts.get(part);
    if (version === undefined) return [`${generation} has no ${part}`];
    return version >= lowest ? [] : [`${part} is ${version}, and ${lowest} is the least`];
  });
  checks.expect('minimum TCB', low.length === 0, tcbText(parts), low.join('; '));
}

/** The event log of a guest, and the name of its file. */
export interface EventLog {
  bytes: Buffer;
  origin: string;
}

/** The attributes of a TD that make it one under debugging: the group TUD, bits 0 to 7 (Intel TDX module ABI, ATTRIBUTES). */
const ANY_DEBUG = 0xffn;

/** Bits of ATTRIBUTES, and those of an IGVM file's policy that stand for them (igvm_defs: TdxPolicy). */
const SEPT_VE_DISABLE = { attribute: 1n << 28n, policy: 1n << 1n };
const MIGRATABLE = { attribute: 1n << 29n, policy: 1n << 2n };

/** What SEV-SNP has and TDX doesn't: asked of a quote, it is missing. */
const SNP_DEMANDS = {
  guestSvn: 'guest SVN',
  vmpl: 'VMPL',
  hostData: 'host data',
  idKeyDigest: 'ID key',
  authorKeyDigest: 'author key',
} as const satisfies Partial<Record<keyof Demands, string>>;

/** Whether a quote is of a guest of the build, and answers what the user asked. */
export function compareTdxGuest(
  checks: Checks,
  quote: TdxQuote,
  demands: Demands,
  expected: Expectations | undefined,
  explained: Expectations | undefined,
  log: EventLog | undefined,
): void {
  compareMeasurement(checks, quote.mrTd, expected, explained);
  compareAttributes(checks, quote.attributes, expected);
  compareDebug(checks, (quote.attributes & ANY_DEBUG) !== 0n, expected);
  compareReportData(checks, quote.reportData, demands);
  compareVersions(checks, quote.teeTcbSvn, demands.minimumTcb);
  compareRegisters(checks, quote.rtmrs, log);
  for (const [demand, name] of Object.entries(SNP_DEMANDS)) {
    if (demands[demand as keyof typeof SNP_DEMANDS] !== undefined) checks.failed(name, 'a TDX quote has none');
  }
}

/** A VMM may add attributes that protect; it may not leave out what the policy wants, nor let a guest migrate that shall not. */
function compareAttributes(checks: Checks, attributes: bigint, expected: Expectations | undefined): void {
  if (expected?.policy === undefined) {
    return checks.notAskedFor('attributes', `${hex(attributes)}; --lock or --image with a policy asks for it`);
  }
  const has = (bit: bigint, among: bigint): boolean => (among & bit) !== 0n;
  const { policy } = expected;
  const complaints = [
    ...(has(SEPT_VE_DISABLE.policy, policy) && !has(SEPT_VE_DISABLE.attribute, attributes)
      ? ['#VE for pages that the host takes away is not disabled']
      : []),
    ...(has(MIGRATABLE.attribute, attributes) && !has(MIGRATABLE.policy, policy) ? ['the guest may be migrated'] : []),
  ];
  checks.expect('attributes', complaints.length === 0, hex(attributes), `${hex(attributes)}: ${complaints.join(', ')}`);
}

function compareVersions(checks: Checks, found: Buffer, minimum: string | undefined): void {
  const text = found.toString('hex');
  if (minimum === undefined) return checks.notAskedFor('minimum TCB', `${text}; --minimum-tcb HEX asks for it`);
  if (!/^[0-9a-f]{32}$/i.test(minimum)) {
    throw new IgvmError('USAGE', `the minimum TCB of a TDX quote is 16 bytes in hexadecimal digits, not "${minimum}"`);
  }
  const lowest = Buffer.from(minimum, 'hex');
  const low = [...lowest.keys()].filter((index) => found[index]! < lowest[index]!);
  checks.expect(
    'minimum TCB',
    low.length === 0,
    text,
    `${text}, and ${minimum} is the least: ${low.length === 1 ? 'byte' : 'bytes'} ${low.join(', ')}`,
  );
}

function compareRegisters(checks: Checks, rtmrs: readonly Buffer[], log: EventLog | undefined): void {
  if (log === undefined) {
    const found = rtmrs.map((each, index) => `${index} ${each.toString('hex')}`).join(', ');
    return checks.notAskedFor('RTMRs', `${found}; --event-log FILE replays them`);
  }
  const replayed = replayEventLog(log.bytes, log.origin);
  for (const [index, rtmr] of rtmrs.entries()) {
    const expected = replayed.rtmrs[index]!;
    checks.expect(
      `RTMR ${index}`,
      rtmr.equals(expected),
      rtmr.toString('hex'),
      `${rtmr.toString('hex')}, and the event log gives ${expected.toString('hex')}`,
    );
  }
}
