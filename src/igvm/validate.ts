import { IgvmError } from '../errors/igvm-error';
import { HEADER_LABEL } from './headers/header-type';
import type { IgvmFile } from './model';
import { DIRECTIVE_RULES, newDirectiveState, vpWithoutContext } from './validate/directive-rules';
import { INITIALIZATION_RULES, newInitializationState, overlappingRegion } from './validate/initialization-rules';
import { newPlatformState, PLATFORM_RULES } from './validate/platform-rules';
import { applyRules, type Rule } from './validate/rule';

/** What is checked beyond the igvm crate's rules. */
export interface ValidationOptions {
  /** Whether parameters must begin in their area, which igvm-wrap doesn't see to. Default true. */
  parameterOffsets?: boolean;
}

/**
 * Checks what the headers must satisfy, each by itself and together: the rules of the igvm crate, and those that the
 * format's documentation adds where a loader would otherwise go wrong (igvm_defs/src/lib.rs).
 * @throws IgvmError IGVM_INVALID naming the header, its GPA range and what is wrong
 */
export function validateIgvm(file: IgvmFile, { parameterOffsets = true }: ValidationOptions = {}): void {
  if (file.version === 1 && file.arch !== 'x64') {
    throw new IgvmError('IGVM_INVALID', `version 1 of the format knows x64 alone, not ${file.arch}`);
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
