import { IgvmError } from '../errors/igvm-error';
import { HEADER_LABEL } from './headers/header-tables';
import type { IgvmFile, PlatformHeader } from './model';
import { type Platform, PLATFORM_VERSION, platformOf } from './platforms';
import {
  applyRules,
  bitsOf,
  DIRECTIVE_RULES,
  INITIALIZATION_RULES,
  newDirectiveState,
  newInitializationState,
  overlappingRegion,
  type Rule,
  vpWithoutContext,
} from './header-rules';

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

/** A rule that follows from the format's definition of the platform. */
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

/** What is checked beyond the igvm crate's rules. */
export interface ValidationOptions {
  /** Whether parameters must begin within their area. igvm-wrap doesn't ensure that. Default true. */
  parameterOffsets?: boolean;
}

/**
 * Checks the headers, one by one and together: by the rules of the igvm crate, and by those of the format's
 * documentation that keep loaders from going wrong (igvm_defs/src/lib.rs).
 * @throws IgvmError IGVM_INVALID naming the header, its GPA range and what is wrong
 */
export function validateIgvm(file: IgvmFile, { parameterOffsets = true }: ValidationOptions = {}): void {
  if (file.version === 1 && file.arch !== 'x64') {
    throw new IgvmError('IGVM_INVALID', `version 1 of the format supports only x64, not ${file.arch}`);
  }
  if (file.platforms.length === 0) throw new IgvmError('IGVM_INVALID', 'the file supports no platform');
  const platformState = newPlatformState(file);
  for (const platform of file.platforms) applyRules(PLATFORM_RULES, platform, platformState, 'supported platform');

  const initializationState = newInitializationState(file);
  for (const header of file.initializations) {
    const rules = INITIALIZATION_RULES[header.type] as readonly Rule<typeof header, typeof initializationState>[];
    applyRules(rules, header, initializationState, HEADER_LABEL[header.type]);
  }
  const region = overlappingRegion(initializationState);
  if (region !== undefined) {
    throw new IgvmError('IGVM_INVALID', 'regions that a loader may move overlap', {
      gpa: { start: region.start, end: region.end },
    });
  }

  const directiveState = newDirectiveState(file, initializationState, parameterOffsets);
  for (const directive of file.directives) {
    const rules = DIRECTIVE_RULES[directive.type] as readonly Rule<typeof directive, typeof directiveState>[];
    applyRules(rules, directive, directiveState, HEADER_LABEL[directive.type]);
  }
  const vp = vpWithoutContext(initializationState, directiveState);
  if (vp !== undefined) {
    throw new IgvmError(
      'IGVM_INVALID',
      `relocation changes registers of VP ${vp.vpIndex} in VTL ${vp.vtl}, which has no VP context`,
    );
  }
}
