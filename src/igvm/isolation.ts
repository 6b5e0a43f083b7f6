import { IgvmError, unreachable } from '../errors/igvm-error';
import { type GuestArch, type IgvmFile, PLATFORM_TYPE, type PlatformHeader, type PlatformType } from './model';
import { platformOf } from './platforms';

/** The properties of an isolation type that several folders need. */
interface Isolation {
  /** The platform that its guests are for. */
  readonly platformType: PlatformType;
  /**
   * Whether the processor isolates the guest, rather than the hypervisor. A `linux` image lacks what such guests need
   * at boot.
   */
  readonly byProcessor: boolean;
  /** Whether its guests have a launch measurement, which builds endorse in documents beside the image. */
  readonly isMeasured: boolean;
}

/** Every isolation type by its name in manifests, in options and in the names of sibling files. */
export const ISOLATIONS = {
  // In the format, a guest without isolation is a Hyper-V guest unless it is NATIVE. It has nothing to attest.
  none: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: false },
  vbs: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: true },
  snp: { platformType: PLATFORM_TYPE.SEV_SNP, byProcessor: true, isMeasured: true },
  tdx: { platformType: PLATFORM_TYPE.TDX, byProcessor: true, isMeasured: true },
} as const satisfies Record<string, Isolation>;

/** The name of an isolation type. */
export type IsolationName = keyof typeof ISOLATIONS;

/** An isolation type whose guests have a launch measurement. It is also the name of their platform. */
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
  /** Whether the digest depends on the VMM that launches the guest. */
  readonly dependsOnVmm: boolean;
}

const MEASUREMENTS: Readonly<Record<MeasuredPlatform, LaunchMeasurement>> = {
  snp: { algorithm: 'SHA-384', dependsOnVmm: true },
  tdx: { algorithm: 'SHA-384', dependsOnVmm: false },
  vbs: { algorithm: 'SHA-256', dependsOnVmm: false },
};

export const MEASURED_PLATFORM_NAMES = Object.keys(MEASUREMENTS) as MeasuredPlatform[];

/** The name in messages and the launch measurement of each measured platform. */
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
