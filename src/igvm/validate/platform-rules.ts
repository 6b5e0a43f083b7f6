import { type GuestArch, type IgvmFile, PLATFORM_TYPE, type PlatformHeader, type PlatformType } from '../model';
import { bitsOf, type Rule } from './rule';

interface PlatformRule {
  name: string;
  /** The only architecture that has the platform. */
  arch?: GuestArch;
  /** Whether memory above a GPA may be visible to the host. */
  hasSharedBoundary: boolean;
}

/** Platforms by type; the version of each is 1 (igvm_defs: IGVM_*_PLATFORM_VERSION). */
const PLATFORMS: Record<PlatformType, PlatformRule> = {
  [PLATFORM_TYPE.NATIVE]: { name: 'native', arch: 'x64', hasSharedBoundary: false },
  [PLATFORM_TYPE.VSM_ISOLATION]: { name: 'VSM isolation', hasSharedBoundary: false },
  [PLATFORM_TYPE.SEV_SNP]: { name: 'SEV-SNP', arch: 'x64', hasSharedBoundary: true },
  [PLATFORM_TYPE.TDX]: { name: 'TDX', arch: 'x64', hasSharedBoundary: true },
  [PLATFORM_TYPE.SEV]: { name: 'SEV', arch: 'x64', hasSharedBoundary: true },
  [PLATFORM_TYPE.SEV_ES]: { name: 'SEV-ES', arch: 'x64', hasSharedBoundary: true },
  [PLATFORM_TYPE.CCA]: { name: 'CCA', arch: 'aarch64', hasSharedBoundary: true },
};

/** The only version of every platform. */
const PLATFORM_VERSION = 1;

/** The platforms before the one that is checked. */
export interface PlatformState {
  readonly arch: IgvmFile['arch'];
  readonly seenTypes: Set<number>;
  seenMask: number;
}

export const newPlatformState = (file: IgvmFile): PlatformState => ({
  arch: file.arch,
  seenTypes: new Set(),
  seenMask: 0,
});

const ruleOf = (type: number): PlatformRule | undefined => PLATFORMS[type as PlatformType];

/** igvm/src/lib.rs: IgvmPlatformHeader::validate, validate_platform_headers. */
export const PLATFORM_RULES: readonly Rule<PlatformHeader, PlatformState>[] = [
  ({ platformType }) => (ruleOf(platformType) ? undefined : `type ${platformType} is not a platform`),
  ({ compatibilityMask: mask }) =>
    [...bitsOf(mask)].length === 1 ? undefined : `compatibility mask 0x${mask.toString(16)} is not a single bit`,
  ({ highestVtl }) =>
    highestVtl === 0 || highestVtl === 2 ? undefined : `highest VTL is ${highestVtl}, neither 0 nor 2`,
  ({ platformVersion }) =>
    platformVersion === PLATFORM_VERSION ? undefined : `version is ${platformVersion} instead of ${PLATFORM_VERSION}`,
  ({ platformType, sharedGpaBoundary }) =>
    sharedGpaBoundary === 0n || ruleOf(platformType)?.hasSharedBoundary
      ? undefined
      : `${ruleOf(platformType)?.name} has no shared GPA boundary`,
  ({ platformType }, { arch }) =>
    (ruleOf(platformType)?.arch ?? arch) === arch
      ? undefined
      : `${ruleOf(platformType)?.name} does not exist on ${arch}`,
  ({ platformType }, { seenTypes }) => {
    if (seenTypes.has(platformType)) return `${ruleOf(platformType)?.name} appears twice`;
    seenTypes.add(platformType);
    return undefined;
  },
  ({ compatibilityMask: mask }, state) => {
    if ((state.seenMask & mask) !== 0) return `compatibility mask 0x${mask.toString(16)} appears twice`;
    state.seenMask |= mask;
    return undefined;
  },
];
