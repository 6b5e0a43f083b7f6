import { hexRange } from '../errors/hex';
import type { FactDifference } from '../image/guest-facts';
import { changesMarkdown, type ReportedGuest } from './changes-markdown';
import { launchText, pageChange } from './diff-text';
import type { GuestDifference, ImageDifference } from './diff-images';

/** The differences of two images for the page of a pull request. @param names of the two */
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
    (overlaps?.[side] ?? []).map(({ gpa, end }) => `pages over pages ${when}: ${hexRange(gpa, end)}`);
  return {
    name: platform,
    digests: digests.map(({ a, b, ...launch }) => ({
      launch: launchText(launch),
      before: a.digest ?? `cannot be measured: ${a.reason}`,
      after: b.digest ?? `cannot be measured: ${b.reason}`,
    })),
    commandLines: commandLines.map(({ what, a, b }) => ({ name: what, before: a, after: b })),
    changes: [
      ...(onlyIn === undefined ? [] : [onlyIn === 'a' ? 'this guest is gone' : 'this guest is new']),
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
