import { type GuestArch, PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
import type { IsolationName } from './model';

/** What more than one part of the house has to know of an isolation type. */
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
} as const satisfies Record<IsolationName, Isolation>;

/** An isolation type whose guests have a launch measurement. */
export type MeasuredIsolation = {
  [Name in IsolationName]: (typeof ISOLATIONS)[Name]['isMeasured'] extends true ? Name : never;
}[IsolationName];

export const ISOLATION_NAMES = Object.keys(ISOLATIONS) as IsolationName[];

export const isMeasured = (name: IsolationName): name is MeasuredIsolation => ISOLATIONS[name].isMeasured;

/** Whether an architecture has the isolation type. */
export function existsOn(name: IsolationName, arch: GuestArch): boolean {
  const only = platformOf(ISOLATIONS[name].platformType)?.arch;
  return only === undefined || only === arch;
}
