import { printable } from '../errors/printable';

/** What changed in something that is reviewed, whatever it was found in. Texts may come from anyone. */
export interface ReportedChanges {
  /** What it is about: an image, a lock. */
  title: string;
  /** Sentences about all of it. */
  notes: string[];
  guests: ReportedGuest[];
}

export interface ReportedGuest {
  /** What it is about: a platform, or the file. */
  name: string;
  /** By what launches the guest; without one where the digest doesn't depend on it. */
  digests: { launch: string; before: string | undefined; after: string | undefined }[];
  commandLines: { name: string; before: string | undefined; after: string | undefined }[];
  /** Everything else, a line each. */
  changes: string[];
}

/** A pull request's page shows some 60,000 characters, and nobody reads as much. */
const MOST_CHANGES = 100;

/**
 * A text as code in Markdown, so that nothing in it means anything: no link, name, picture, HTML. Characters that end a cell of a
 * table are spelled out, as no way to escape them holds behind a backslash.
 */
export function code(text: string): string {
  const shown = printable(text).replaceAll('|', '\\u{7c}');
  if (shown.trim() === '') return shown === '' ? '(empty)' : '(blanks)';
  const longest = Math.max(0, ...Array.from(shown.matchAll(/`+/g), ([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  // A space on both sides is not part of the code.
  const pad = /^[` ]|[` ]$/.test(shown) ? ' ' : '';
  return `${fence}${pad}${shown}${pad}${fence}`;
}

/** Lines that nothing in them can end early. */
function codeBlock(language: string, lines: readonly string[]): string[] {
  const shown = lines.map(printable);
  const longest = Math.max(2, ...shown.flatMap((line) => Array.from(line.matchAll(/`+/g), ([run]) => run.length)));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}${language}`, ...shown, fence];
}

/** Changes as Markdown, for the page of a pull request. @param none what is said where nothing changed */
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
