import type { IgvmFile, PlatformHeader } from '../model';
import { type Platform, PLATFORM_VERSION, platformOf } from '../platforms';
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

type PlatformHeaderRule = Rule<PlatformHeader, PlatformState>;

/** A rule about what the format says of the header's platform. */
const forPlatform =
  (rule: (platform: Platform, ...args: Parameters<PlatformHeaderRule>) => string | undefined): PlatformHeaderRule =>
  (header, state) => {
    const platform = platformOf(header.platformType);
    if (platform === undefined) return `type ${header.platformType} is not a platform`;
    return rule(platform, header, state);
  };

/** igvm/src/lib.rs: IgvmPlatformHeader::validate, validate_platform_headers. */
export const PLATFORM_RULES: readonly PlatformHeaderRule[] = [
  ({ compatibilityMask: mask }) =>
    [...bitsOf(mask)].length === 1 ? undefined : `compatibility mask 0x${mask.toString(16)} is not a single bit`,
  ({ highestVtl }) =>
    highestVtl === 0 || highestVtl === 2 ? undefined : `highest VTL is ${highestVtl}, neither 0 nor 2`,
  ({ platformVersion }) =>
    platformVersion === PLATFORM_VERSION ? undefined : `version is ${platformVersion} instead of ${PLATFORM_VERSION}`,
  forPlatform(({ label, hasSharedBoundary }, { sharedGpaBoundary }) =>
    sharedGpaBoundary === 0n || hasSharedBoundary ? undefined : `${label} has no shared GPA boundary`,
  ),
  forPlatform((platform, _, { arch }) =>
    (platform.arch ?? arch) === arch ? undefined : `${platform.label} does not exist on ${arch}`,
  ),
  forPlatform(({ label }, { platformType }, { seenTypes }) => {
    if (seenTypes.has(platformType)) return `${label} appears twice`;
    seenTypes.add(platformType);
    return undefined;
  }),
  ({ compatibilityMask: mask }, state) => {
    if ((state.seenMask & mask) !== 0) return `compatibility mask 0x${mask.toString(16)} appears twice`;
    state.seenMask |= mask;
    return undefined;
  },
];
