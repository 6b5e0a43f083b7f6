import { hex } from '../../errors/printable';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import { isKnown, isOptional, type Section, sectionOf } from '../headers/header-type';
import type { UnknownHeader } from '../model';

/** What a header must satisfy, possibly in view of those before it. Returns the complaint when it does not. */
export type Rule<H, S> = (header: H, state: S) => string | undefined;

/** Applies the rules in order. @throws IgvmError IGVM_INVALID with the first complaint */
export function applyRules<H, S>(rules: readonly Rule<H, S>[], header: H, state: S, what: string): void {
  for (const rule of rules) {
    const complaint = rule(header, state);
    if (complaint !== undefined) throw invalidHeader(what, complaint, header);
  }
}

/** A complaint about a header, with its place in the guest. */
export const invalidHeader = (what: string, complaint: string, header: unknown): IgvmError =>
  new IgvmError('IGVM_INVALID', `${what}: ${complaint}`, placeOf(header));

/** A field is a whole number of pages. */
export const pageAligned =
  <K extends string>(field: K): Rule<Record<K, number>, unknown> =>
  (header) =>
    isMultiple(header[field], PAGE_SIZE) ? undefined : `${field} ${hex(header[field])} is not a multiple of 4096`;

/** A field is a multiple of another. */
export const multipleOf =
  <K extends string, A extends string>(field: K, alignment: A): Rule<Record<K | A, number>, unknown> =>
  (header) =>
    isMultiple(header[field], header[alignment])
      ? undefined
      : `${field} ${hex(header[field])} is not a multiple of ${alignment} ${hex(header[alignment])}`;

/** A header that is kept as it is: of a type of the section that a loader may skip, and that no other header has. */
export const opaqueIn =
  (section: Section, what: string): Rule<UnknownHeader, unknown> =>
  ({ headerType }) => {
    const isOfSection = isOptional(headerType) && headerType <= 0xffff_ffff && sectionOf(headerType) === section;
    if (!isOfSection) return `type ${hex(headerType)} is not an optional ${what}`;
    return isKnown(headerType) ? `type ${hex(headerType)} is one that readers know, and not as optional` : undefined;
  };

/** Nothing is a multiple of 0: the remainder is NaN. */
const isMultiple = (value: number, of: number): boolean => value % of === 0;

/** VTLs that exist. */
export const MOST_VTL = 2;

/** The single bits of a compatibility mask. */
export function* bitsOf(mask: number): Generator<number> {
  for (let bit = 0; bit < 32; bit++) {
    const single = (1 << bit) >>> 0;
    if ((mask & single) !== 0) yield single;
  }
}

function placeOf(header: unknown): ErrorWhere {
  const { gpa, size, pageCount } = header as { gpa?: number; size?: number; pageCount?: number };
  if (gpa === undefined || gpa < 0) return {};
  const bytes = pageCount === undefined ? (size ?? PAGE_SIZE) : pageCount * PAGE_SIZE;
  return { gpa: { start: gpa, end: gpa + bytes } };
}
