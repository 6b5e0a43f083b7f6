import { hexRange, printable } from '../errors/printable';
import type { PageOverlap } from '../igvm/page-overlaps';
import type { FactDifference } from '../image/guest-facts';
import { PAGE_SIZE } from '../memory/page';
import { changesMarkdown, type ReportedGuest } from './changes-markdown';
import type { PageDifference, PageDifferenceKind } from './compare-pages';
import type { DigestDifference, GuestDifference, ImageDifference } from './diff-images';

/** The most page ranges to show for a guest. JSON output has all. */
const MOST_RANGES = 200;

const KINDS: Record<PageDifferenceKind, string> = {
  onlyInA: 'only in A',
  onlyInB: 'only in B',
  type: 'type',
  contents: 'contents differ',
  stored: 'zeros are stored in one file only',
};

/** The differences for people. */
export function diffText(difference: ImageDifference): string {
  const { isSame, file, guests } = difference;
  if (isSame) return 'the files are the same\n';
  const lines = [...facts('file', file), ...guests.flatMap(guestLines)];
  if (lines.length === 0) lines.push('the guests are the same, but the files are laid out differently');
  return `${lines.join('\n')}\n`;
}

function guestLines(guest: GuestDifference): string[] {
  const { platform, onlyIn, headers, registers, pages, digests, commandLines, overlaps } = guest;
  if (onlyIn !== undefined) return [`${platform}: only in ${onlyIn.toUpperCase()}`];
  const lines = [
    ...overlapLines('A', overlaps?.a ?? []),
    ...overlapLines('B', overlaps?.b ?? []),
    ...facts('headers', headers),
    ...facts('registers', registers),
    ...facts('command lines', commandLines),
    ...pageLines(pages),
    ...digests.flatMap(({ vmm, a, b, ...more }) => [
      vmm === undefined ? 'launch digest:' : `launch digest, launched by ${launchText({ vmm, ...more })}:`,
      `  A ${digestText(a)}`,
      `  B ${digestText(b)}`,
    ]),
  ];
  return lines.length === 0 ? [] : [`${platform}:`, ...lines.map((line) => `  ${line}`)];
}

/** Overlaps are shown even if both files have the same: which of two pages a guest gets depends on the loader. */
function overlapLines(name: string, overlaps: readonly PageOverlap[]): string[] {
  if (overlaps.length === 0) return [];
  const lines = overlaps.slice(0, MOST_RANGES).map(({ gpa, end }) => `  ${hexRange(gpa, end)}`);
  const hidden = overlaps.length - MOST_RANGES;
  if (hidden > 0) lines.push(`  … and ${hidden} more ranges`);
  return [`overlapping pages in ${name} (loaders differ in which of them they use):`, ...lines];
}

/** A launch in the words of options: `qemu-kvm vcpus 2 cpu EPYC-Milan`. */
export const launchText = ({ vmm, vcpus, cpu, kvmMode }: Partial<Omit<DigestDifference, 'a' | 'b'>>): string =>
  [vmm, vcpus === undefined ? '' : `vcpus ${vcpus}`, cpu === undefined ? '' : `cpu ${cpu}`, kvmMode]
    .filter((each) => each !== undefined && each !== '')
    .join(' ');

const digestText = ({ digest, reason }: DigestDifference['a']): string =>
  digest ?? printable(`cannot be measured: ${reason}`);

const facts = (title: string, differences: readonly FactDifference[]): string[] =>
  differences.length === 0
    ? []
    : [
        `${title}:`,
        ...differences.flatMap(({ what, a, b }) => {
          const name = printable(what);
          if (b === undefined) return labelled(`  ${name}: only in A: `, `    `, a ?? '');
          if (a === undefined) return labelled(`  ${name}: only in B: `, `    `, b);
          return [`  ${name}:`, ...labelled('    A ', '      ', a), ...labelled('    B ', '      ', b)];
        }),
      ];

/** A longer text is split into its fields. */
const LONGEST_LINE = 160;

/** A text after a label. Each field of a long text gets its own line; two spaces separate the fields. */
function labelled(label: string, indent: string, text: string): string[] {
  const fields = text.length > LONGEST_LINE ? text.split('  ') : [text];
  if (fields.length === 1) return [`${label}${printable(text)}`];
  return [label.trimEnd(), ...fields.map((field) => `${indent}${printable(field)}`)];
}

function pageLines(pages: GuestDifference['pages']): string[] {
  if (pages.length === 0) return [];
  const lines = pages.slice(0, MOST_RANGES).map((range) => {
    const tags = range.tags.length === 0 ? '' : `  [${range.tags.map(printable).join(', ')}]`;
    return `  0x${range.gpa.toString(16)}-0x${range.end.toString(16)}  ${describe(range)}${tags}`;
  });
  if (pages.length > MOST_RANGES) lines.push(`  … and ${pages.length - MOST_RANGES} more ranges`);
  return [`pages (${pageCount(pages)} differ):`, ...lines];
}

/** The number of pages in ranges that are sorted by address. A page may be in two, for its type and for its contents. */
function pageCount(ranges: readonly PageDifference[]): number {
  let bytes = 0;
  let counted = 0;
  for (const { gpa, end } of ranges) {
    bytes += Math.max(0, end - Math.max(gpa, counted));
    counted = Math.max(counted, end);
  }
  return bytes / PAGE_SIZE;
}

const describe = ({ difference, a, b }: PageDifference): string =>
  difference === 'type' ? `type ${a} in A, ${b} in B` : KINDS[difference];

const CHANGES: Record<PageDifferenceKind, string> = {
  onlyInA: 'gone',
  onlyInB: 'new',
  type: 'type',
  contents: 'other contents',
  stored: 'zeros are stored in one file only',
};

/** How pages changed, when one file is the successor of the other. */
export function pageChange({ gpa, end, difference, a, b, tags }: GuestDifference['pages'][number]): string {
  const name = tags.length === 0 ? 'pages' : tags.join(', ');
  const what = difference === 'type' ? `type ${a} before, now ${b}` : CHANGES[difference];
  return `${name} ${hexRange(gpa, end)}: ${what}`;
}

/** The differences of two images as Markdown, for a pull request. @param names the names of the two */
export function diffMarkdown({ isSame, file, guests }: ImageDifference, names: readonly [string, string]): string {
  const title = names[0] === names[1] ? names[0] : names.join(' → ');
  if (isSame) return changesMarkdown([], 'The images are the same.');
  const reported = [
    ...(file.length === 0 ? [] : [{ name: 'the file', digests: [], commandLines: [], changes: factTexts('', file) }]),
    ...guests
      .map(reportedGuest)
      .filter(({ digests, commandLines, changes }) => digests.length + commandLines.length + changes.length > 0),
  ];
  const notes = reported.length === 0 ? ['The guests are the same, but the files are laid out differently.'] : [];
  return changesMarkdown([{ title, notes, guests: reported }], '');
}

function reportedGuest(guest: GuestDifference): ReportedGuest {
  const { platform, onlyIn, headers, registers, pages, digests, commandLines, overlaps } = guest;
  const overlapping = (side: 'a' | 'b', when: string): string[] =>
    (overlaps?.[side] ?? []).map(({ gpa, end }) => `overlapping pages ${when}: ${hexRange(gpa, end)}`);
  return {
    name: platform,
    digests: digests.map(({ a, b, ...launch }) => ({
      launch: launchText(launch),
      before: a.digest ?? `cannot be measured: ${a.reason}`,
      after: b.digest ?? `cannot be measured: ${b.reason}`,
    })),
    commandLines: commandLines.map(({ what, a, b }) => ({ name: what, before: a, after: b })),
    changes: [
      ...(onlyIn === undefined ? [] : [onlyIn === 'a' ? 'this guest was removed' : 'this guest is new']),
      ...overlapping('a', 'before'),
      ...overlapping('b', 'after'),
      ...pages.map(pageChange),
      ...factTexts('header ', headers),
      ...factTexts('register ', registers),
    ],
  };
}

const factTexts = (kind: string, differences: readonly FactDifference[]): string[] =>
  differences.map(({ what, a, b }) => `${kind}${what}: ${a ?? 'none'} before, now ${b ?? 'none'}`);
