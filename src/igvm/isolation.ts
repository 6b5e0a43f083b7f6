import { IgvmError, unreachable } from '../errors/igvm-error';
import { type GuestArch, type IgvmFile, PLATFORM_TYPE, type PlatformHeader, type PlatformType } from './model';
import { platformOf } from './platforms';

/** What more than one folder has to know about an isolation type. */
interface Isolation {
  /** The platform that its guests are for. */
  readonly platformType: PlatformType;
  /** Whether the processor isolates, not the hypervisor. What such guests need at boot, a `linux` image doesn't have. */
  readonly byProcessor: boolean;
  /** Whether its guests have a launch measurement, and builds write what endorses it. */
  readonly isMeasured: boolean;
}

/** Every isolation type by its name in manifests, in options and in the names of sibling files. */
export const ISOLATIONS = {
  // To the format a guest without isolation is one of Hyper-V, unless it is NATIVE; it has nobody to prove anything to.
  none: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: false },
  vbs: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: true },
  snp: { platformType: PLATFORM_TYPE.SEV_SNP, byProcessor: true, isMeasured: true },
  tdx: { platformType: PLATFORM_TYPE.TDX, byProcessor: true, isMeasured: true },
} as const satisfies Record<string, Isolation>;

/** The name of an isolation type. */
export type IsolationName = keyof typeof ISOLATIONS;

/** An isolation type whose guests have a launch measurement: it names their platform, too. */
export type MeasuredPlatform = {
  [Name in IsolationName]: (typeof ISOLATIONS)[Name]['isMeasured'] extends true ? Name : never;
}[IsolationName];

export const ISOLATION_NAMES = Object.keys(ISOLATIONS) as IsolationName[];

export const isMeasured = (name: IsolationName): name is MeasuredPlatform => ISOLATIONS[name].isMeasured;

/** Whether an architecture has the isolation type. */
export function existsOn(name: IsolationName, arch: GuestArch): boolean {
  const only = platformOf(ISOLATIONS[name].platformType)?.arch;
  return only === undefined || only === arch;
}

/** What a launch measurement is. */
interface LaunchMeasurement {
  readonly algorithm: 'SHA-256' | 'SHA-384';
  /** Whether the digest depends on what launches the guest. */
  readonly dependsOnVmm: boolean;
}

const MEASUREMENTS: Readonly<Record<MeasuredPlatform, LaunchMeasurement>> = {
  snp: { algorithm: 'SHA-384', dependsOnVmm: true },
  tdx: { algorithm: 'SHA-384', dependsOnVmm: false },
  vbs: { algorithm: 'SHA-256', dependsOnVmm: false },
};

export const MEASURED_PLATFORM_NAMES = Object.keys(MEASUREMENTS) as MeasuredPlatform[];

/** What messages call each measured platform, and what its launch measurement is. */
export const MEASURED_PLATFORMS = Object.fromEntries(
  MEASURED_PLATFORM_NAMES.map((name) => {
    const { platformType } = ISOLATIONS[name];
    const { label } = platformOf(platformType) ?? unreachable(`no platform for ${name}`);
    return [name, { platformType, label, ...MEASUREMENTS[name] }];
  }),
) as Record<MeasuredPlatform, LaunchMeasurement & { platformType: PlatformType; label: string }>;

/** The measured platform of a header; undefined when its type has no launch measurement. */
export function measuredPlatformOf(header: PlatformHeader): MeasuredPlatform | undefined {
  return MEASURED_PLATFORM_NAMES.find((name) => MEASURED_PLATFORMS[name].platformType === header.platformType);
}

/**
 * The header of a platform.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE naming the platforms that the file has.
 */
export function platformHeader(file: Pick<IgvmFile, 'platforms'>, platform: MeasuredPlatform): PlatformHeader {
  const header = file.platforms.find((candidate) => measuredPlatformOf(candidate) === platform);
  if (header !== undefined) return header;
  const present = file.platforms.map(
    (candidate) =>
      measuredPlatformOf(candidate) ?? platformOf(candidate.platformType)?.label ?? String(candidate.platformType),
  );
  throw new IgvmError(
    'MEASUREMENT_UNAVAILABLE',
    `the file has no ${platform} platform (it has: ${present.join(', ') || 'none'})`,
  );
}
