import { dirname } from 'node:path';
import { digestHex, hex, printable, printableJson } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { withImage } from '../files/igvm-image';
import { readRegularFile } from '../files/regular-file';
import { launchPolicy, type PolicyFields } from '../image/policy';
import type { IgvmFile } from '../igvm/model';
import { commitsThatChanged, fileInRevision, type HistoricChange } from '../lock/git';
import { parseLock, readLock } from '../lock/lock-file';
import type { MeasurementLock } from '../lock/lock-schema';
import { CPU_MODEL_NAMES } from '../measurement/kvm-vmsa';
import { type Launch, launchesOf, launchLabel, vmmProfile } from '../measurement/launches';
import { SEARCHED_VCPUS, SEARCHED_VCPUS_BY_SIGNATURE, searchLaunches } from './launch-search';
import { launchJson, measurablePlatforms, measureLaunches } from '../measurement/measure';
import { MEASURED_PLATFORMS, type MeasuredPlatform, platformHeader } from '../igvm/platforms';
import { VMM_NAMES } from '../manifest/model';
import { decodedEvidence, EVIDENCE_LIMIT } from './evidence-file';
import { isSnpEvidence, parseSnpEvidence, signatureOf } from './snp-report';
import { isTdxEvidence, parseTdxQuote } from './tdx-quote';

export interface ExplainOptions {
  /** A digest in hexadecimal digits, or the path of a report or quote. */
  subject: string;
  /** Path of the image. */
  image: string;
  /** Path of the lock, whose history is searched. */
  lock?: string;
  /** Makes the name of a path for messages. Default: the path. */
  display?: (path: string) => string;
}

/** A launch of the image that has the digest. */
export interface ExplainedLaunch {
  platform: MeasuredPlatform;
  /** Undefined if the digest doesn't depend on the launch. */
  launch: Launch | undefined;
  /** Why that VMM would refuse this file. Then the digest is from another file with the same pages. */
  refusals: string[];
}

/** A state of the lock that has the digest. */
export interface LockedState {
  /** The lock in the working tree, or one of its commits. */
  commit: HistoricChange | undefined;
  /** Whether this commit added the digest to the lock or removed it. */
  change: 'present' | 'added' | 'removed';
  platform: string | undefined;
  launches: Launch[];
}

export interface Explanation {
  /** Upper-case hexadecimal. */
  digest: string;
  found: ExplainedLaunch[];
  /** The guest policy of each possible platform: in the image, and in the report if there is one. */
  policies: {
    platform: MeasuredPlatform;
    image: PolicyFields | undefined;
    report: string | undefined;
    agree: boolean;
  }[];
  history: LockedState[];
  /** The comparisons that were made, a sentence each. */
  tried: string[];
}

/** A digest, and the facts that its report adds. */
interface Subject {
  digest: Buffer;
  platforms: readonly MeasuredPlatform[];
  /** From a report: policy, and the signature of the processor. */
  policy?: bigint;
  signature?: number;
}

/**
 * Finds the origin of a launch digest: the launch of an image, or the state of a lock. Does not verify reports.
 * @throws IgvmError USAGE, EVIDENCE_INVALID, FILE_UNREADABLE; those of images, locks and git
 */
export async function explainDigest({
  subject: text,
  image,
  lock,
  display = (each) => each,
}: ExplainOptions): Promise<Explanation> {
  const subject = subjectOf(text, display);
  const result: Explanation = { digest: digestHex(subject.digest), found: [], policies: [], history: [], tried: [] };
  await withImage(image, async ({ file }) => {
    const present = measurablePlatforms(file);
    for (const platform of subject.platforms) {
      if (result.found.length > 0) break;
      const { label } = MEASURED_PLATFORMS[platform];
      if (!present.includes(platform)) {
        result.tried.push(`${display(image)} has no ${label} guest`);
        continue;
      }
      if (platform === 'snp') await searchSnp(file, subject, result);
      else await compareOne(file, platform, subject, result);
      addPolicy(file, platform, subject, result);
    }
  });
  if (lock === undefined) result.tried.push('the history of a lock was not searched: use --lock FILE for that');
  else lookThroughLock(lock, display(lock), result);
  return result;
}

function subjectOf(text: string, display: (path: string) => string): Subject {
  const digits = text.replace(/^0x/i, '');
  if (/^[0-9a-f]+$/i.test(digits) && (digits.length === 96 || digits.length === 64)) {
    return { digest: Buffer.from(digits, 'hex'), platforms: platformsOf(digits.length / 2) };
  }
  let content: Buffer;
  try {
    content = readRegularFile(text, { limit: EVIDENCE_LIMIT });
  } catch (error) {
    if (/^[0-9a-f]{32,}$/i.test(digits)) {
      throw new IgvmError('USAGE', `a launch digest has 96 hexadecimal digits, or 64 for VBS, not ${digits.length}`);
    }
    throw unreadable(text, error);
  }
  const bytes = decodedEvidence(content);
  if (bytes.length === 48 || bytes.length === 32) return { digest: bytes, platforms: platformsOf(bytes.length) };
  const origin = display(text);
  if (isTdxEvidence(bytes)) {
    const { mrTd, attributes } = parseTdxQuote(bytes, text);
    return { digest: mrTd, platforms: ['tdx'], policy: attributes };
  }
  if (!isSnpEvidence(bytes)) {
    throw new IgvmError('EVIDENCE_INVALID', 'is neither a launch digest, an SEV-SNP report nor a TDX quote', {
      file: origin,
    });
  }
  const { report } = parseSnpEvidence(bytes, text);
  const { measurement, policy } = report;
  const signature = signatureOf(report);
  return { digest: measurement, platforms: ['snp'], policy, signature };
}

/** Platforms by the size of the digest. The one with the quickest comparison is first. */
const platformsOf = (size: number): MeasuredPlatform[] => (size === 48 ? ['tdx', 'snp'] : ['vbs']);

async function searchSnp(file: IgvmFile, { digest, signature }: Subject, result: Explanation): Promise<void> {
  const { found, tried, triedSignatures } = await searchLaunches(file, digest, signature);
  for (const { launch, refusals } of found) result.found.push({ platform: 'snp', launch, refusals });
  const vmms = VMM_NAMES.map((vmm) => {
    const { label, takes } = vmmProfile(vmm);
    const how = [
      ...(takes.vcpus ? [`1 to ${SEARCHED_VCPUS} vCPUs`] : []),
      ...(takes.cpu ? [`the processors ${CPU_MODEL_NAMES.join(', ')}`] : []),
      ...(takes.vcpus ? ['with all vCPUs measured or only the first'] : []),
    ];
    return how.length === 0 ? label : `${label} (${how.join('; ')})`;
  });
  const { label } = MEASURED_PLATFORMS.snp;
  result.tried.push(`${label}: ${vmms.join(', ')}: ${tried} digests in all`);
  if (triedSignatures) {
    const own = signature === undefined ? '' : `, and ${hex(signature)} of the report with up to ${SEARCHED_VCPUS}`;
    result.tried.push(
      `${label}: signatures of the families 0x17, 0x19 and 0x1a with up to ${SEARCHED_VCPUS_BY_SIGNATURE} vCPUs${own}, for -cpu host`,
    );
  }
}

async function compareOne(
  file: IgvmFile,
  platform: MeasuredPlatform,
  { digest }: Subject,
  result: Explanation,
): Promise<void> {
  const { measurements } = await measureLaunches(file, { platforms: [platform] });
  for (const each of measurements) {
    if (Buffer.compare(each.digest, digest) === 0) result.found.push({ platform, launch: undefined, refusals: [] });
  }
  result.tried.push(
    `${MEASURED_PLATFORMS[platform].label}: the one launch digest of the image, ${measurements.map((each) => digestHex(each.digest)).join(', ')}`,
  );
}

function addPolicy(
  file: IgvmFile,
  platform: MeasuredPlatform,
  { policy: reported }: Subject,
  result: Explanation,
): void {
  const image = launchPolicy(file, platformHeader(file, platform))?.fields;
  const report = reported === undefined ? undefined : hex(reported);
  // TDX's attributes don't have the same bits as the policy in the file. verify-report compares them.
  const agree = platform !== 'snp' || report === undefined || image?.['value'] === report;
  if (image !== undefined || report !== undefined) result.policies.push({ platform, image, report, agree });
}

function lookThroughLock(path: string, display: string, result: Explanation): void {
  const { digest, history, tried } = result;
  const now = readLock(path, display);
  if (holds(now, digest)) history.push({ commit: undefined, change: 'present', ...launchesWith(now, digest) });
  const folder = dirname(path);
  const commits = commitsThatChanged(path, digest);
  for (const commit of commits) {
    const after = lockIn(folder, commit.commit, commit.path);
    const isThere = after !== undefined && after.text.includes(digest);
    const state = isThere ? after : lockIn(folder, `${commit.commit}^`, commit.path);
    history.push({ commit, change: isThere ? 'added' : 'removed', ...launchesWith(state?.lock, digest) });
  }
  tried.push(`${display} in the working tree, and in every commit that git log shows for it`);
}

/** The lock of a commit. A lock of another version is only searched as text. */
function lockIn(
  folder: string,
  revision: string,
  path: string,
): { text: string; lock: MeasurementLock | undefined } | undefined {
  const text = fileInRevision(folder, revision, path);
  if (text === undefined) return undefined;
  try {
    return { text, lock: parseLock(Buffer.from(text), path) };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { text, lock: undefined };
  }
}

const holds = (lock: MeasurementLock, digest: string): boolean => launchesWith(lock, digest).platform !== undefined;

function launchesWith(lock: MeasurementLock | undefined, digest: string): Pick<LockedState, 'platform' | 'launches'> {
  for (const [platform, { digests = [] }] of Object.entries(lock?.platforms ?? {})) {
    const entry = digests.find((each) => each.digest === digest);
    if (entry !== undefined) return { platform, launches: entry.launches?.flatMap(launchesOf) ?? [] };
  }
  return { platform: undefined, launches: [] };
}

/** Whether an origin of the digest was found. */
export const isExplained = ({ found, history }: Explanation): boolean => found.length + history.length > 0;

/** An explanation for people. */
export function explanationText(explanation: Explanation): string {
  const { digest, found, policies, history, tried } = explanation;
  const lines = [digest, ...launchLines(found), ...policies.flatMap(policyLines), ...history.map(historyLine)];
  if (!isExplained(explanation)) lines.push('no known origin of this digest was found');
  lines.push('tried:', ...tried.map((each) => `  ${each}`));
  return `${lines.map(printable).join('\n')}\n`;
}

/** A line for each launch. Processors with the same digest share one. */
function launchLines(found: readonly ExplainedLaunch[]): string[] {
  const groups = new Map<
    string,
    { platform: MeasuredPlatform; launch: Launch | undefined; cpus: string[]; refusals: string[] }
  >();
  for (const { platform, launch, refusals } of found) {
    const key = `${platform} ${launch?.vmm} ${launch?.vcpus}`;
    const group = groups.get(key) ?? { platform, launch, cpus: [], refusals };
    if (launch?.cpu !== undefined) group.cpus.push(launch.cpu.name);
    groups.set(key, group);
  }
  return [...groups.values()].flatMap(({ platform, launch, cpus, refusals }) => {
    const { label } = MEASURED_PLATFORMS[platform];
    if (launch === undefined) return [`the image's ${label} guest, with any VMM`];
    const { vmm, vcpus } = launch;
    const isAny = cpus.length === CPU_MODEL_NAMES.length;
    const names = cpus.length === 0 ? '' : `, ${isAny ? 'any model of processor' : cpus.join(' or ')}`;
    const mode = vcpus === 1 ? '; also with more vCPUs if KVM measures only the first (--kvm-mode bsp-only)' : '';
    const versions =
      cpus.some((cpu) => CPU_MODEL_NAMES.includes(cpu)) && !isAny ? ' (or a version of it, such as -v2)' : '';
    return [
      `the image's ${label} guest, launched by ${launchLabel({ vmm, vcpus })}${names}${versions}${mode}`,
      ...refusals.map((each) => `  but that VMM does not launch this file: ${each}`),
    ];
  });
}

function policyLines({ platform, image, report, agree }: Explanation['policies'][number]): string[] {
  const { label } = MEASURED_PLATFORMS[platform];
  const set = Object.entries(image ?? {}).flatMap(([name, value]) => (value === true ? [name] : []));
  const ofImage =
    image === undefined
      ? 'none in the image'
      : `${String(image['value'])} in the image (${set.join(', ') || 'no known bit is set'})`;
  const ofReport = report === undefined ? '' : `, ${report} in the report`;
  return [`${label} policy, which the digest does not cover: ${ofImage}${ofReport}${agree ? '' : ': they differ'}`];
}

function historyLine({ commit, change, platform, launches }: LockedState): string {
  const where =
    commit === undefined
      ? 'in the lock in the working tree'
      : `${change === 'added' ? 'added to' : 'removed from'} the lock ${commit.path} by commit ${commit.commit.slice(0, 12)} of ${commit.date}, "${commit.subject}"`;
  const what = platform === undefined ? '' : `, ${platform}`;
  return `${where}${what}${launches.length === 0 ? '' : `, for ${launches.map(launchLabel).join(' or ')}`}`;
}

/** An explanation for programs. */
export function explanationJson({ digest, found, policies, history, tried }: Explanation): string {
  return `${printableJson({
    digest,
    found: found.map(({ platform, launch, refusals }) => ({ platform, ...launchJson(launch), refusals })),
    policies,
    history: history.map(({ commit, change, platform, launches }) => ({
      change,
      ...commit,
      platform,
      launches: launches.map(launchJson),
    })),
    tried,
  })}\n`;
}
