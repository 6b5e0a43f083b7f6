/**
 * Characters that can't be recognised when they are displayed: control characters, line breaks, characters that reorder text or have
 * no glyph, blanks other than the space, and lone surrogates.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

const spelledOut = (character: string): string => `\\u{${character.codePointAt(0)!.toString(16)}}`;

/**
 * Text from a file in a form that is safe to show on a terminal or page: control characters, line breaks, characters that reorder text
 * and invisible characters become `\u{...}`, so that a file can neither move the cursor nor fake lines or names. A backslash that
 * looks like the start of such an escape is escaped as well.
 */
export const printable = (text: string): string =>
  text.replaceAll(/\\(?=u\{)/g, spelledOut).replaceAll(UNPRINTABLE, spelledOut);

/** A whole number with commas. Not by toLocaleString, whose tables take 16 ms and 6 MiB to load. */
export const withCommas = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

/** A digest as in reports, documents and locks: upper-case hexadecimal, like igvmfilegen's. */
export const digestHex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex').toUpperCase();

/** How many there are of something: `1 region`, `2 regions`, `1,000 entries`. */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${withCommas(value)} ${value === 1 ? one : many}`;

/** A value as JSON for programs, in a form that is safe to show on a terminal. */
export const printableJson = (value: unknown): string => escapeJson(JSON.stringify(value, undefined, 2));

/** Equivalent JSON, with JSON's own escapes for all unprintable characters except line ends. */
export const escapeJson = (json: string): string =>
  json.replaceAll(UNPRINTABLE, (character) =>
    character === '\n' ? character : [...utf16(character)].map((unit) => `\\u${unit}`).join(''),
  );

/** The UTF-16 code units of a character, as four hexadecimal digits each. */
function* utf16(character: string): Generator<string> {
  for (let at = 0; at < character.length; at++) yield character.charCodeAt(at).toString(16).padStart(4, '0');
}

/** The start of text that a CI service reads as a command in a log: `::name`, `##[name]`, `##vso[name]`, `##teamcity[name`. */
const COMMAND = /^[^\S\n]*::|##(?=\w*\[)/gm;
/** The end of a piece of text that may be the first part of such a start. */
const MAYBE_COMMAND = /(?:^[^\S\n]*:?|##?\w{0,20})$/;

/**
 * Makes the output of a guest, a VMM or another program safe for a log. Text comes in pieces of any size. Control characters other than
 * tabs and line ends are escaped. So is the first character of text that a CI service would read as a command, such as one that masks
 * the rest of the log.
 */
export class LogText {
  private held = '';
  private atLineStart = true;

  /** @returns the part of the text so far that can be shown */
  add(piece: string): string {
    const text = this.held + piece;
    // A piece may begin in the middle of a line.
    const lineStart = text.lastIndexOf('\n') + 1;
    const open = text.slice(lineStart);
    const [tail = ''] = (lineStart > 0 || this.atLineStart ? MAYBE_COMMAND : /##?\w{0,20}$/).exec(open) ?? [];
    const carriage = text.endsWith('\r') ? 1 : 0;
    const kept = Math.max(tail.length, carriage);
    this.held = text.slice(text.length - kept);
    return this.shown(text.slice(0, text.length - kept));
  }

  /** @returns the rest, after the last piece */
  end(): string {
    const rest = this.held;
    this.held = '';
    return this.shown(rest);
  }

  private shown(text: string): string {
    if (text === '') return '';
    const before = this.atLineStart ? '' : '\0';
    this.atLineStart = text.endsWith('\n');
    // A character in front, so that the expression doesn't match in the middle of a line.
    const broken = (before + text).replaceAll(COMMAND, (command) =>
      command.startsWith('#') ? `${spelledOut('#')}#` : `${command.slice(0, -2)}${spelledOut(':')}:`,
    );
    return broken.slice(before.length).replaceAll(/(?!\r?\n|\t)\p{Cc}/gu, spelledOut);
  }
}

/** Passes on the messages of a program, made safe for a log. @param isTerminal whether `write` shows them, unchanged, on a terminal */
export function messageSink(
  write: (text: string) => void,
  isTerminal: boolean,
): { add: (text: string) => void; end: () => void } {
  const log = new LogText();
  const show = (text: string): void => {
    if (text !== '') write(text);
  };
  return isTerminal
    ? { add: show, end: () => undefined }
    : { add: (text) => show(log.add(text)), end: () => show(log.end()) };
}

/** A number in the form in which messages and reports show addresses, masks and registers. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A range of addresses in bytes, end exclusive. */
export const hexRange = (start: number | bigint, end: number | bigint): string => `${hex(start)}-${hex(end)}`;
