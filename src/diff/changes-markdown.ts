import { printable } from '../errors/printable';

/** The changes of an image or a lock, for a review. Texts may come from an attacker. */
export interface ReportedChanges {
  /** The image or lock that changed. */
  title: string;
  /** Sentences about the whole image or lock. */
  notes: string[];
  guests: ReportedGuest[];
}

export interface ReportedGuest {
  /** The platform, or the file itself. */
  name: string;
  /** By launch; empty if the digest doesn't depend on it. */
  digests: { launch: string; before: string | undefined; after: string | undefined }[];
  commandLines: { name: string; before: string | undefined; after: string | undefined }[];
  /** All other changes, a line each. */
  changes: string[];
}

/** The most changes to list. The page of a pull request shows about 60,000 characters, and nobody reads that many. */
const MOST_CHANGES = 100;

/**
 * A text as code in Markdown, so that nothing in it is interpreted: no link, name, picture or HTML. Characters that would end a cell of a
 * table are written as code points, because escaping them fails after a backslash.
 */
export function code(text: string): string {
  const shown = printable(text).replaceAll('|', '\\u{7c}');
  if (shown.trim() === '') return shown === '' ? '(empty)' : '(blanks)';
  const longest = Math.max(0, ...Array.from(shown.matchAll(/`+/g), ([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  // Markdown removes one space on each side.
  const pad = /^[` ]|[` ]$/.test(shown) ? ' ' : '';
  return `${fence}${pad}${shown}${pad}${fence}`;
}

/** A code block whose fence is longer than any in its lines. */
function codeBlock(language: string, lines: readonly string[]): string[] {
  const shown = lines.map(printable);
  const longest = Math.max(2, ...shown.flatMap((line) => Array.from(line.matchAll(/`+/g), ([run]) => run.length)));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}${language}`, ...shown, fence];
}

/** Changes as Markdown, for a pull request. @param none the text if there are no changes */
export function changesMarkdown(reports: readonly ReportedChanges[], none: string): string {
  if (reports.length === 0) return `${none}\n`;
  return `${reports.map((each) => reportLines(each).join('\n')).join('\n\n')}\n`;
}

function reportLines({ title, notes, guests }: ReportedChanges): string[] {
  const lines = [`### ${code(title)}`, ...notes.flatMap((note) => ['', `> ${code(note)}`])];
  for (const guest of guests) lines.push('', ...guestLines(guest));
  return lines;
}

function guestLines({ name, digests, commandLines, changes }: ReportedGuest): string[] {
  const lines = [`**${name}**`];
  if (digests.length > 0) {
    lines.push('', '| launch digest | before | after |', '| --- | --- | --- |');
    for (const { launch, before, after } of digests) {
      const cells = [launch === '' ? 'any launch' : code(launch), ...[before, after].map(cell)];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  }
  for (const { name: which, before, after } of commandLines) {
    const side = (sign: string, text: string | undefined): string[] => (text === undefined ? [] : [`${sign} ${text}`]);
    lines.push(
      '',
      `Command line ${code(which)}:`,
      '',
      ...codeBlock('diff', [...side('-', before), ...side('+', after)]),
    );
  }
  if (changes.length > 0) {
    const hidden = changes.length - MOST_CHANGES;
    lines.push('', ...changes.slice(0, MOST_CHANGES).map((change) => `- ${code(change)}`));
    if (hidden > 0) lines.push(`- and ${hidden} more`);
  }
  return lines;
}

const cell = (text: string | undefined): string => (text === undefined ? 'none' : code(text));
