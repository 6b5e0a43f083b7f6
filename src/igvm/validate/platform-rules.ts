import type { IgvmFile, PlatformHeader } from '../model';
import { PLATFORM_VERSION, platformOf } from '../platforms';
import { bitsOf, type Rule } from './rule';

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

/** igvm/src/lib.rs: IgvmPlatformHeader::validate, validate_platform_headers. */
export const PLATFORM_RULES: readonly Rule<PlatformHeader, PlatformState>[] = [
  ({ platformType }) => (platformOf(platformType) ? undefined : `type ${platformType} is not a platform`),
  ({ compatibilityMask: mask }) =>
    [...bitsOf(mask)].length === 1 ? undefined : `compatibility mask 0x${mask.toString(16)} is not a single bit`,
  ({ highestVtl }) =>
    highestVtl === 0 || highestVtl === 2 ? undefined : `highest VTL is ${highestVtl}, neither 0 nor 2`,
  ({ platformVersion }) =>
    platformVersion === PLATFORM_VERSION ? undefined : `version is ${platformVersion} instead of ${PLATFORM_VERSION}`,
  ({ platformType, sharedGpaBoundary }) =>
    sharedGpaBoundary === 0n || platformOf(platformType)?.hasSharedBoundary
      ? undefined
      : `${platformOf(platformType)?.label} has no shared GPA boundary`,
  ({ platformType }, { arch }) =>
    (platformOf(platformType)?.arch ?? arch) === arch
      ? undefined
      : `${platformOf(platformType)?.label} does not exist on ${arch}`,
  ({ platformType }, { seenTypes }) => {
    if (seenTypes.has(platformType)) return `${platformOf(platformType)?.label} appears twice`;
    seenTypes.add(platformType);
    return undefined;
  },
  ({ compatibilityMask: mask }, state) => {
    if ((state.seenMask & mask) !== 0) return `compatibility mask 0x${mask.toString(16)} appears twice`;
    state.seenMask |= mask;
    return undefined;
  },
];
