import { formatPlaced, IgvmError, unreachable } from '../errors/igvm-error';
import { digestHex } from '../errors/printable';
import { MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf, platformHeader } from '../igvm/platforms';
import type { IgvmFile } from '../igvm/model';
import { readingOrder } from '../igvm/reading-order';
import { type DirectiveObserver, streamDirectives } from '../igvm/stream';
import type { Vmm } from '../manifest/model';
import type { LaunchDigests, LaunchResult } from './launch-digests';
import { DEFAULT_LAUNCH, type Launch, launchLabel, UNSETTLED_VMMS, vmmProfile } from './launches';
import type { LoadRefusal } from './load-refusals';
import { SnpLaunchDigests } from './snp';
import { TdxLaunchDigest, VbsLaunchDigest } from './tdx-vbs';

/** The launch measurement of one platform of a file, launched by one VMM. */
export interface Measurement {
  platform: MeasuredPlatform;
  /** How the guest is launched; undefined if the digest doesn't depend on it. */
  launch?: Launch;
  compatibilityMask: number;
  digest: Uint8Array;
  /** How the VMM deviates from the file. */
  warnings: readonly string[];
}

/** A launch that fails because the VMM doesn't load the file. */
export interface MeasurementRefusal {
  platform: MeasuredPlatform;
  launch: Launch;
  /** One line, with the place in the guest and what to change. */
  reason: string;
}

export interface MeasureOptions {
  /** Default: every platform of the file that has a launch measurement. */
  platforms?: readonly MeasuredPlatform[];
  /**
   * Launches of the platforms whose digest depends on them. Default: Hyper-V's, which the documents beside an image
   * endorse.
   */
  launches?: readonly Launch[];
  /** Further observers of the same pass over the guest. */
  observers?: readonly DirectiveObserver[];
}

/** @see measureLaunches */
export interface MeasureLaunchesOptions extends MeasureOptions {
  /** Whether a platform that can't be measured is part of the report, instead of failing the others. Default: no. */
  reportImpossible?: boolean;
}

/**
 * Every requested launch of every platform is in one of the lists. It is in both if the VMM passes all pages to KVM and
 * KVM refuses one: its digest is then the one that would have been measured.
 */
export interface MeasurementReport {
  measurements: Measurement[];
  refusals: MeasurementRefusal[];
  /** Why platforms have no launch digest (MEASUREMENT_IMPOSSIBLE), if the report was asked to have them. */
  impossible?: Map<MeasuredPlatform, IgvmError>;
}

/** The parts of a file that a measurement needs before the guest is streamed. */
type MeasuredFile = Pick<IgvmFile, 'platforms' | 'initializations' | 'directives'>;

const LAUNCH_DIGESTS: Record<
  MeasuredPlatform,
  (file: MeasuredFile, mask: number, launches: readonly Launch[]) => LaunchDigests
> = {
  snp: (file, mask, launches) => new SnpLaunchDigests(file, mask, launches),
  tdx: (_, mask) => new TdxLaunchDigest(mask),
  vbs: (file, mask) => new VbsLaunchDigest(file, mask),
};

/**
 * The launch digests of a guest that is about to be streamed (a build measures and writes in the same pass).
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE, LAUNCH_INVALID
 */
export function launchDigests(
  file: MeasuredFile,
  platform: MeasuredPlatform,
  launches: readonly Launch[] = [DEFAULT_LAUNCH],
): LaunchDigests {
  return LAUNCH_DIGESTS[platform](file, platformHeader(file, platform).compatibilityMask, launches);
}

/** The digest of the launch that a build endorses. Nothing refuses that launch. */
export async function endorsedDigest(digests: LaunchDigests): Promise<Uint8Array> {
  const [result] = await digests.results();
  return result?.digest ?? unreachable('a guest without the digest that its documents endorse');
}

/** The platforms of a file that have a launch measurement, in the order of its headers. */
export function measurablePlatforms(file: Pick<IgvmFile, 'platforms'>): MeasuredPlatform[] {
  return file.platforms.map(measuredPlatformOf).filter((platform) => platform !== undefined);
}

/**
 * The launch measurements of a file, in the order of its platform headers; none if no guest is isolated.
 * @throws IgvmError MEASUREMENT_REFUSED when a VMM does not load the file, so that no requested launch is silently left
 *   out; otherwise as {@link measureLaunches}
 */
export async function measure(file: IgvmFile, options: MeasureOptions = {}): Promise<Measurement[]> {
  const { measurements, refusals } = await measureLaunches(file, options);
  throwRefusals(refusals);
  return measurements;
}

/** @throws IgvmError MEASUREMENT_REFUSED with all refusals, if there are any */
export function throwRefusals(refusals: readonly MeasurementRefusal[]): void {
  const [first, ...others] = refusals.map(({ reason }) => new IgvmError('MEASUREMENT_REFUSED', reason));
  if (first !== undefined) throw new IgvmError(first.code, first.message, {}, { also: others });
}

/**
 * The launch measurements of a file and the launches without one, in a single pass over its data, whatever the number
 * of platforms and launches.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE for a platform that the file does not have; MEASUREMENT_IMPOSSIBLE;
 *   LAUNCH_INVALID; FILE_CHANGED, FILE_UNREADABLE from its sources.
 */
export async function measureLaunches(
  file: IgvmFile,
  options: MeasureLaunchesOptions = {},
): Promise<MeasurementReport> {
  const { launches = [DEFAULT_LAUNCH], observers = [], reportImpossible = false } = options;
  const platforms = [...new Set(options.platforms ?? measurablePlatforms(file))];
  const report: MeasurementReport = { measurements: [], refusals: [] };
  const impossible = new Map<MeasuredPlatform, IgvmError>();
  const attempts: Attempt[] = [];
  try {
    for (const platform of platforms) {
      const wanted = launchesFor(platform, launches, report);
      if (wanted.length > 0) attempts.push(new Attempt(file, platform, wanted, reportImpossible));
    }
    const watching = [...attempts, ...observers];
    if (watching.length > 0) await streamDirectives(file, watching, readingOrder(file));
    for (const attempt of attempts) {
      for (const result of await attempt.results()) addResult(report, attempt, result);
      if (attempt.impossible !== undefined) impossible.set(attempt.platform, attempt.impossible);
    }
    return reportImpossible ? { ...report, impossible } : report;
  } finally {
    await Promise.all(attempts.map((attempt) => attempt.close()));
  }
}

/** The launches for which a platform has a digest; the others become refusals. */
function launchesFor(platform: MeasuredPlatform, launches: readonly Launch[], report: MeasurementReport): Launch[] {
  if (MEASURED_PLATFORMS[platform].dependsOnVmm) return [...launches];
  const { label } = MEASURED_PLATFORMS[platform];
  // One digest for all VMMs that launch such guests.
  const [endorsed] = launches.filter(({ vmm }) => vmm === DEFAULT_LAUNCH.vmm);
  for (const launch of launches) {
    if (launch.vmm === DEFAULT_LAUNCH.vmm) continue;
    const reason = `${programOf(launch)} launches no ${label} guests from IGVM files`;
    report.refusals.push({ platform, launch, reason });
  }
  return endorsed === undefined ? [] : [endorsed];
}

const programOf = ({ vmm }: Launch): string => (vmm in UNSETTLED_VMMS ? vmm : vmmProfile(vmm as Vmm).program);

function addResult(
  { measurements, refusals }: MeasurementReport,
  { platform, compatibilityMask }: Attempt,
  { launch, digest, refusals: reasons, warnings }: LaunchResult,
): void {
  if (digest !== undefined) {
    measurements.push({ platform, ...(launch === undefined ? {} : { launch }), compatibilityMask, digest, warnings });
  }
  for (const refusal of reasons) {
    const refused = launch ?? unreachable('a refusal without a launch');
    refusals.push({ platform, launch: refused, reason: refusalText(refused, refusal) });
  }
}

function refusalText(launch: Launch | undefined, { reason, gpa }: LoadRefusal): string {
  if (launch === undefined) return unreachable('a refusal without a launch');
  const refuses =
    launch.vmm in UNSETTLED_VMMS ? `no digest for ${launch.vmm}` : `${programOf(launch)} refuses this file`;
  return formatPlaced(`${refuses}: ${reason}`, { gpa });
}

/** Loaded late, because a build measures pages that it writes, and reads no image. */
const images = () => require('../files/igvm-image') as typeof import('../files/igvm-image');

/**
 * The launch measurements of an image on disk, or of the image in a firmware DLL. The list is empty if no platform of
 * the image has a launch measurement.
 * @throws IgvmError as `measure`; FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with
 *   the file's path
 */
export const measureFile = (path: string, options: MeasureOptions = {}): Promise<Measurement[]> =>
  images().withImage(path, ({ file }) => measure(file, options));

/**
 * As {@link measureFile}, but also returns the launches that VMMs refuse.
 * @throws IgvmError as `measureLaunches` and {@link measureFile}
 */
export const measureFileLaunches = (path: string, options: MeasureOptions = {}): Promise<MeasurementReport> =>
  images().withImage(path, ({ file }) => measureLaunches(file, options));

/** A launch digest of an image, or why there is none. */
export interface ImageDigest {
  platform: MeasuredPlatform;
  /** Undefined if the digest doesn't depend on the VMM that launches the guest. */
  launch?: Launch;
  /** Upper-case hexadecimal. */
  digest?: string;
  /** One sentence, with the place in the guest. */
  reason?: string;
}

/**
 * All launch digests of an image, in one pass over its pages whatever the number of platforms and launches. If the
 * measurement of one platform is impossible, the others are measured all the same.
 * @param options.platforms default: all of the file that have a launch measurement
 * @param options.launches of SEV-SNP guests. Default: the one that the image's documents endorse
 * @param options.observers see the pages in the same pass
 * @throws IgvmError MEASUREMENT_UNAVAILABLE for a platform that the file doesn't have; LAUNCH_INVALID; FILE_CHANGED,
 *   FILE_UNREADABLE from its sources
 */
export async function imageDigests(file: IgvmFile, options: MeasureOptions = {}): Promise<ImageDigest[]> {
  const { launches = [DEFAULT_LAUNCH], observers = [] } = options;
  const platforms = [...new Set(options.platforms ?? measurablePlatforms(file))];
  const attempts: Attempt[] = [];
  try {
    for (const platform of platforms) attempts.push(new Attempt(file, platform, launches, true));
    const watching = [...attempts, ...observers];
    if (watching.length > 0) await streamDirectives(file, watching, readingOrder(file));
    const digests: ImageDigest[] = [];
    for (const attempt of attempts) digests.push(...(await attempt.digests()));
    return digests;
  } finally {
    await Promise.all(attempts.map((attempt) => attempt.close()));
  }
}

/** The measurement of one platform, which may turn out to be impossible without failing the pass for the others. */
class Attempt implements DirectiveObserver {
  readonly compatibilityMask: number;
  readonly pagesOverlap: boolean;
  /** Why there is no digest. */
  impossible: IgvmError | undefined;
  /** A single undefined for a platform whose digest doesn't depend on the launch. */
  private readonly launches: readonly (Launch | undefined)[];
  private readonly measurement: LaunchDigests | undefined;

  /** @param keepsError whether an impossible measurement is kept in `impossible` instead of thrown */
  constructor(
    file: IgvmFile,
    readonly platform: MeasuredPlatform,
    launches: readonly Launch[],
    private readonly keepsError: boolean,
  ) {
    this.compatibilityMask = platformHeader(file, platform).compatibilityMask;
    this.launches = MEASURED_PLATFORMS[platform].dependsOnVmm ? launches : [undefined];
    this.measurement = this.unlessImpossible(() => launchDigests(file, platform, launches));
    this.pagesOverlap = this.measurement?.pagesOverlap ?? false;
  }

  directive(...args: Parameters<NonNullable<DirectiveObserver['directive']>>): void | Promise<void> {
    return this.step(() => this.measurement?.directive?.(...args));
  }

  pages(...args: Parameters<NonNullable<DirectiveObserver['pages']>>): void | Promise<void> {
    return this.step(() => this.measurement?.pages?.(...args));
  }

  /** The results of all launches; none if the measurement is impossible. */
  async results(): Promise<LaunchResult[]> {
    let measured: LaunchResult[] = [];
    await this.step(async () => {
      measured = (await this.measurement?.results()) ?? [];
    });
    return measured;
  }

  /** For each launch its digest, or why there is none. */
  async digests(): Promise<ImageDigest[]> {
    const measured = await this.results();
    return this.launches.map((launch, index) => ({
      platform: this.platform,
      ...(launch === undefined ? {} : { launch }),
      ...this.digestOrReason(measured[index]),
    }));
  }

  async close(): Promise<void> {
    await this.measurement?.close();
  }

  private digestOrReason(result: LaunchResult | undefined): Pick<ImageDigest, 'digest' | 'reason'> {
    if (result === undefined) {
      const { message, where } = this.impossible ?? unreachable('a launch without a result');
      return { reason: formatPlaced(message, { gpa: where.gpa }) };
    }
    if (result.digest !== undefined) return { digest: digestHex(result.digest) };
    const [refusal] = result.refusals;
    return { reason: refusalText(result.launch, refusal ?? unreachable('a launch without digest and refusal')) };
  }

  private step(step: () => void | Promise<void>): void | Promise<void> {
    if (this.impossible !== undefined) return;
    const pending = this.unlessImpossible(step);
    return pending?.catch((error: unknown) => this.keep(error));
  }

  private unlessImpossible<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      this.keep(error);
      return undefined;
    }
  }

  /** @throws every error other than that the platform can't launch the file */
  private keep(error: unknown): void {
    if (!this.keepsError || !(error instanceof IgvmError) || error.code !== 'MEASUREMENT_IMPOSSIBLE') throw error;
    this.impossible ??= error;
  }
}

/** Measurements for people: one line each, with the digest at its end. */
export const measurementText = (measurements: readonly Measurement[]): string =>
  measurements
    .map(({ platform, launch, digest }) => `${platform}  ${describe(platform, launch)}: ${digestHex(digest)}\n`)
    .join('');

function describe(platform: Measurement['platform'], launch: Launch | undefined): string {
  const { label, algorithm } = MEASURED_PLATFORMS[platform];
  const how = launch === undefined || launch.vmm === DEFAULT_LAUNCH.vmm ? '' : `, ${launchLabel(launch)}`;
  return `${label} launch digest (${algorithm})${how}`;
}

/** Measurements for programs. `vmm`, `vcpus`, `cpu` and `kvmMode` are present if the digest depends on them. */
export const measurementJson = ({ measurements, refusals }: MeasurementReport): string =>
  `${JSON.stringify(
    {
      measurements: measurements.map(({ platform, launch, compatibilityMask, digest, warnings }) => ({
        platform,
        ...launchJson(launch),
        compatibilityMask,
        algorithm: MEASURED_PLATFORMS[platform].algorithm,
        digest: digestHex(digest),
        warnings,
      })),
      refusals: refusals.map(({ platform, launch, reason }) => ({ platform, ...launchJson(launch), reason })),
    },
    undefined,
    2,
  )}\n`;

/** A launch as JSON. */
export function launchJson(launch: Launch | undefined): Record<string, unknown> {
  if (launch === undefined) return {};
  const { vmm, vcpus, cpu, kvmMode } = launch;
  return { vmm, vcpus, cpu: cpu?.name, kvmMode };
}
