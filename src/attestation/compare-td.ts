import { hex } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import type { Checks } from './check';
import { compareDebug, compareMeasurement, compareReportData, type Demands } from './compare-guest';
import { replayEventLog } from './event-log';
import type { Expectations } from './expectations';
import type { TdxQuote } from './tdx-quote';

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
