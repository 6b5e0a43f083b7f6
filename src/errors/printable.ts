/**
 * Characters that nobody sees for what they are: control characters, line breaks, characters that reorder text or have no
 * glyph, blanks other than the space, and halves of characters.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

const spelledOut = (character: string): string => `\\u{${character.codePointAt(0)!.toString(16)}}`;

/**
 * Text from a file as it may be shown on a terminal or page: control characters, line breaks, characters that reorder text and
 * those that can't be seen become `\u{...}`, so that a file can neither move the cursor, nor fake lines or names. A backslash
 * that would look like the beginning of such a thing is spelled out as well.
 */
export const printable = (text: string): string =>
  text.replaceAll(/\\(?=u\{)/g, spelledOut).replaceAll(UNPRINTABLE, spelledOut);

/** A value as JSON for programs that a terminal may be shown as well. */
export const printableJson = (value: unknown): string => escapeJson(JSON.stringify(value, undefined, 2));

/** JSON that means the same, with JSON's own escapes for all that can't be seen for what it is, but for line ends. */
export const escapeJson = (json: string): string =>
  json.replaceAll(UNPRINTABLE, (character) =>
    character === '\n' ? character : [...utf16(character)].map((unit) => `\\u${unit}`).join(''),
  );

/** The units of a character, four hexadecimal digits each. */
function* utf16(character: string): Generator<string> {
  for (let at = 0; at < character.length; at++) yield character.charCodeAt(at).toString(16).padStart(4, '0');
}

/** The beginning of what a CI service takes for a command in a log: `::name`, `##[name]`, `##vso[name]`, `##teamcity[name`. */
const COMMAND = /^[^\S\n]*::|##(?=\w*\[)/gm;
/** The end of a piece of text that may go on to become one. */
const MAYBE_COMMAND = /(?:^[^\S\n]*:?|##?\w{0,20})$/;

/**
 * What a guest, a VMM or another program says, on its way to a log: whoever reads it must not take it for something else. Text
 * comes in pieces of any size. Control characters but tabs and line ends are spelled out, and so is the first character of
 * what a CI service would take for one of its commands, such as one that masks the rest of the log.
 */
export class LogText {
  private held = '';
  private atLineStart = true;

  /** @returns what can be shown of the text so far */
  add(piece: string): string {
    const text = this.held + piece;
    // In the midst of a line, its start is over.
    const lineStart = text.lastIndexOf('\n') + 1;
    const open = text.slice(lineStart);
    const [tail = ''] = (lineStart > 0 || this.atLineStart ? MAYBE_COMMAND : /##?\w{0,20}$/).exec(open) ?? [];
    const carriage = text.endsWith('\r') ? 1 : 0;
    const kept = Math.max(tail.length, carriage);
    this.held = text.slice(text.length - kept);
    return this.shown(text.slice(0, text.length - kept));
  }

  /** @returns the rest, when nothing more comes */
  end(): string {
    const rest = this.held;
    this.held = '';
    return this.shown(rest);
  }

  private shown(text: string): string {
    if (text === '') return '';
    const before = this.atLineStart ? '' : '\0';
    this.atLineStart = text.endsWith('\n');
    // With something before it, the first line doesn't begin here.
    const broken = (before + text).replaceAll(COMMAND, (command) =>
      command.startsWith('#') ? `${spelledOut('#')}#` : `${command.slice(0, -2)}${spelledOut(':')}:`,
    );
    return broken.slice(before.length).replaceAll(/(?!\r?\n|\t)\p{Cc}/gu, spelledOut);
  }
}

/** Messages of a program, as a terminal or a log may have them. @param isTerminal whether `write` shows them on one */
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

/** A number as messages and reports show addresses, masks and registers. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A range of addresses in bytes, end exclusive. */
export const hexRange = (start: number | bigint, end: number | bigint): string => `${hex(start)}-${hex(end)}`;
