import { IgvmError } from '../errors/igvm-error';
import { hex, printable } from '../errors/printable';
import { SNP_POLICY_DEBUG } from '../loader/guest/guest-platform';
import type { Checks } from './checks';
import type { Expectations, ExpectedDigest } from './expectations';
import { type GenerationName, isZero, parseMinimumTcb, type SnpReport, tcbParts, tcbText } from './snp-report';
import { replayEventLog, type TdxQuote } from './tdx-quote';

/** The user's requirements for evidence, in addition to a lock or an image. Undefined: not checked. */
export interface Demands {
  /** All 64 bytes. */
  reportData?: Buffer | undefined;
  /** The beginning of the report data, 1 to 64 bytes. */
  nonce?: Buffer | undefined;
  /** 32 bytes, for SEV-SNP. */
  hostData?: Buffer | undefined;
  /** The lowest versions of the firmware's parts: for SEV-SNP as for `parseMinimumTcb`, for TDX 16 bytes in hexadecimal. */
  minimumTcb?: string | undefined;
  /** The lowest security version of the guest, for SEV-SNP. */
  guestSvn?: number | undefined;
  /** For SEV-SNP. Default: 0 if there is a lock or an image. */
  vmpl?: number | undefined;
  /** SHA-384 of keys, 48 bytes, for SEV-SNP. */
  idKeyDigest?: Buffer | undefined;
  authorKeyDigest?: Buffer | undefined;
}

const FROM_BUILD = 'use --lock or --image for the expected value';

/** Checks the launch digest: whether the guest is ours, and how it was launched. */
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
    checks.failed('measurement', `${none}: it is the image launched by ${how}, but expected is ${wanted}`);
  } else if (refused?.refusal !== undefined) {
    const why = `which does not launch this file: ${printable(refused.refusal)}`;
    checks.failed('measurement', `${none}: it is the digest of its pages with ${refused.launch}, ${why}`);
  } else {
    const hasLooked = explained !== undefined || expected.isImage;
    const why = hasLooked
      ? 'with any known launch'
      : 'use --image FILE to find out whether it is another launch of the image';
    checks.failed('measurement', hasLooked ? `${none} ${why}` : `${none}; ${why}`);
  }
}

/** Launches with the same digest, the first few by name. */
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

/** Checks report data and nonce. Also for TDX. */
export function compareReportData(checks: Checks, reportData: Buffer, { reportData: wanted, nonce }: Demands): void {
  const found = reportData.toString('hex');
  if (wanted === undefined) checks.notAskedFor('report data', `${found}; use --report-data HEX to check it`);
  else checks.expect('report data', reportData.equals(wanted), found, `${found}, expected ${wanted.toString('hex')}`);
  if (nonce === undefined) return checks.notAskedFor('nonce', 'use --nonce HEX to check it');
  checks.expect(
    'nonce',
    reportData.subarray(0, nonce.length).equals(nonce),
    'the report data begins with it',
    `the report data does not begin with ${nonce.toString('hex')}: the report may be an old one`,
  );
}

/** Checks that a report is from a guest of the build, launched as expected, and meets the user's requirements. */
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
      `${printable(inImage?.source ?? '')} has one, but the guest was launched without it`,
    );
  } else
    checks.notAskedFor('ID block', 'the guest was launched without one, so its report has no security version and IDs');
  const lowest = demands.guestSvn;
  if (lowest !== undefined) {
    const bad = `${report.guestSvn}, expected ${lowest} or more`;
    checks.expect('guest SVN', report.guestSvn >= lowest, String(report.guestSvn), bad);
  } else if (identity.svn !== undefined && hasBlock) {
    const bad = `${report.guestSvn}, and the build has ${identity.svn}`;
    checks.expect('guest SVN', report.guestSvn === identity.svn, String(report.guestSvn), bad);
  } else checks.notAskedFor('guest SVN', `${report.guestSvn}; use --guest-svn NUMBER for the lowest`);
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
  if (wanted === undefined) return checks.notAskedFor('VMPL', `${found}; use --vmpl NUMBER to check it`);
  checks.expect('VMPL', vmpl === wanted, found, `${found}, expected VMPL ${wanted}`);
}

function compareBytes(checks: Checks, name: string, found: Buffer, wanted: Buffer | undefined, asks: string): void {
  const text = found.toString('hex');
  if (wanted === undefined) return checks.notAskedFor(name, `${text}; use ${asks} to check it`);
  checks.expect(name, found.equals(wanted), text, `${text}, expected ${wanted.toString('hex')}`);
}

function compareTcb(
  checks: Checks,
  tcb: Buffer,
  generation: GenerationName | undefined,
  text: string | undefined,
): void {
  const minimum = text === undefined ? undefined : parseMinimumTcb(text);
  if (generation === undefined) {
    if (minimum === undefined) checks.notAskedFor('minimum TCB', 'use --minimum-tcb LIST to check it');
    else checks.failed('minimum TCB', 'the generation of the processor is not known');
    return;
  }
  const parts = tcbParts(tcb, generation);
  if (minimum === undefined) {
    return checks.notAskedFor('minimum TCB', `${tcbText(parts)}; use --minimum-tcb LIST to check it`);
  }
  const low = [...minimum].flatMap(([part, lowest]) => {
    const version = parts.get(part);
    if (version === undefined) return [`${generation} has no ${part}`];
    return version >= lowest ? [] : [`${part} is ${version}, and the minimum is ${lowest}`];
  });
  checks.expect('minimum TCB', low.length === 0, tcbText(parts), low.join('; '));
}

/** The event log of a guest, and the name of its file. */
export interface EventLog {
  bytes: Buffer;
  origin: string;
}

/** The attributes that allow debugging a TD: the group TUD, bits 0 to 7 (Intel TDX module ABI, ATTRIBUTES). */
const ANY_DEBUG = 0xffn;

/** Bits of ATTRIBUTES, and the corresponding bits in the policy of an IGVM file (igvm_defs: TdxPolicy). */
const SEPT_VE_DISABLE = { attribute: 1n << 28n, policy: 1n << 1n };
const MIGRATABLE = { attribute: 1n << 29n, policy: 1n << 2n };

/** Requirements that only SEV-SNP reports can meet, and TDX quotes can't. */
const SNP_DEMANDS = {
  guestSvn: 'guest SVN',
  vmpl: 'VMPL',
  hostData: 'host data',
  idKeyDigest: 'ID key',
  authorKeyDigest: 'author key',
} as const satisfies Partial<Record<keyof Demands, string>>;

/** Checks that a quote is from a guest of the build and meets the user's requirements. */
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

/** A VMM may add protective attributes. It must not omit those of the policy, nor make a guest migratable against the policy. */
function compareAttributes(checks: Checks, attributes: bigint, expected: Expectations | undefined): void {
  if (expected?.policy === undefined) {
    return checks.notAskedFor('attributes', `${hex(attributes)}; use --lock or --image with a policy to check them`);
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
  if (minimum === undefined) return checks.notAskedFor('minimum TCB', `${text}; use --minimum-tcb HEX to check it`);
  if (!/^[0-9a-f]{32}$/i.test(minimum)) {
    throw new IgvmError('USAGE', `the minimum TCB of a TDX quote is 16 bytes in hexadecimal digits, not "${minimum}"`);
  }
  const lowest = Buffer.from(minimum, 'hex');
  const low = [...lowest.keys()].filter((index) => found[index]! < lowest[index]!);
  checks.expect(
    'minimum TCB',
    low.length === 0,
    text,
    `${text}, and the minimum is ${minimum}: ${low.length === 1 ? 'byte' : 'bytes'} ${low.join(', ')}`,
  );
}

function compareRegisters(checks: Checks, rtmrs: readonly Buffer[], log: EventLog | undefined): void {
  if (log === undefined) {
    const found = rtmrs.map((each, index) => `${index} ${each.toString('hex')}`).join(', ');
    return checks.notAskedFor('RTMRs', `${found}; use --event-log FILE to check them`);
  }
  const replayed = replayEventLog(log.bytes, log.origin);
  for (const [index, rtmr] of rtmrs.entries()) {
    const expected = replayed.rtmrs[index]!;
    checks.expect(
      `RTMR ${index}`,
      rtmr.equals(expected),
      rtmr.toString('hex'),
      `${rtmr.toString('hex')}, but the event log results in ${expected.toString('hex')}`,
    );
  }
}
