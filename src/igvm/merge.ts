import { IgvmError, unreachable } from '../errors/igvm-error';
import type { Directive, IgvmFile, InitializationHeader, PlatformHeader } from './model';
import { validateIgvm } from './validate';
import { bitsOf } from './header-rules';

/**
 * One file for several guests (igvm/src/lib.rs: merge_simple). Each later guest keeps its compatibility bits and
 * parameter areas where they are free and otherwise takes the next free bit and the lowest free index; headers are
 * appended, not shared, so that no guest's measurement changes.
 * @param files at least one, each valid by itself; they are not changed
 * @throws IgvmError IGVM_INVALID when they differ in version or architecture or the result is not valid: two guests for
 *   one platform, more than 32 platforms; IGVM_UNSUPPORTED when one has headers that are not known
 */
export function mergeGuests(files: readonly IgvmFile[]): IgvmFile {
  const [first, ...others] = files;
  if (first === undefined) unreachable('a merge of no guests');
  const merged = others.reduce(mergeTwo, first);
  validateIgvm(merged);
  return merged;
}

function mergeTwo(base: IgvmFile, added: IgvmFile): IgvmFile {
  if (base.version !== added.version || base.arch !== added.arch) {
    throw new IgvmError(
      'IGVM_INVALID',
      `a guest in version ${added.version} of the format for ${added.arch} can't join one in version ${base.version} ` +
        `for ${base.arch}; a native guest must be the only guest of its file`,
    );
  }
  const fixUp = new FixUp(base, added);
  return {
    version: base.version,
    arch: base.arch,
    platforms: [...base.platforms, ...added.platforms.map((platform) => fixUp.mask(platform))],
    initializations: [...base.initializations, ...added.initializations.map((header) => fixUp.initialization(header))],
    directives: [...base.directives, ...added.directives.map((directive) => fixUp.directive(directive))],
  };
}

/** The changes to a file's headers when it is merged into another. */
class FixUp {
  private readonly masks: ReadonlyMap<number, number>;
  private readonly areas: ReadonlyMap<number, number>;

  constructor(base: IgvmFile, added: IgvmFile) {
    this.masks = renumber(bitsInUse(base.platforms), bitsInUse(added.platforms), (taken) => {
      const free = [...bitsOf(0xffff_ffff)].find((bit) => !taken.has(bit));
      if (free !== undefined) return free;
      throw new IgvmError('IGVM_INVALID', 'the guests are for more platforms than the 32 that a file can have');
    });
    this.areas = renumber(areasIn(base.directives), areasIn(added.directives), (taken) => {
      let free = 0;
      while (taken.has(free)) free++;
      return free;
    });
  }

  mask<T extends PlatformHeader | { compatibilityMask: number }>(header: T): T {
    let compatibilityMask = 0;
    for (const bit of bitsOf(header.compatibilityMask)) compatibilityMask |= this.masks.get(bit) ?? bit;
    return { ...header, compatibilityMask: compatibilityMask >>> 0 };
  }

  initialization(header: InitializationHeader): InitializationHeader {
    if (header.type === 'unknown') throw unknownHeader(header.headerType);
    return header.type === 'versionString' ? header : this.mask(header);
  }

  directive(directive: Directive): Directive {
    switch (directive.type) {
      case 'unknown':
        throw unknownHeader(directive.headerType);
      case 'parameterArea':
      case 'parameter':
        return this.area(directive);
      case 'parameterInsert':
        return this.area(this.mask(directive));
      default:
        return this.mask(directive);
    }
  }

  private area<T extends { index: number }>(directive: T): T {
    return { ...directive, index: this.areas.get(directive.index) ?? directive.index };
  }
}

/** New numbers, in order, for those of `added` that are taken. */
function renumber(
  base: readonly number[],
  added: readonly number[],
  nextFree: (taken: ReadonlySet<number>) => number,
): Map<number, number> {
  const taken = new Set(base);
  const renumbered = new Map<number, number>();
  for (const number of added) {
    const free = taken.has(number) ? nextFree(taken) : number;
    taken.add(free);
    renumbered.set(number, free);
  }
  return renumbered;
}

const bitsInUse = (platforms: readonly PlatformHeader[]): number[] =>
  platforms.flatMap(({ compatibilityMask }) => [...bitsOf(compatibilityMask)]);

const areasIn = (directives: readonly Directive[]): number[] =>
  directives.flatMap((directive) => (directive.type === 'parameterArea' ? [directive.index] : []));

const unknownHeader = (headerType: number): IgvmError =>
  new IgvmError(
    'IGVM_UNSUPPORTED',
    `header type 0x${headerType.toString(16)} is not known, so it is unclear which guest it belongs to`,
  );
