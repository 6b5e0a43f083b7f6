/** Control characters, line breaks, characters that reorder text, and halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text from a file as it may be shown on a terminal: control characters, line breaks and characters that reorder text
 * become `\u{...}`, so that a file can neither move the cursor nor fake lines.
 */
export const printable = (text: string): string =>
  text.replaceAll(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);

/** A value as JSON for programs that a terminal may be shown as well. */
export const printableJson = (value: unknown): string => escapeJson(JSON.stringify(value, undefined, 2));

/** JSON that means the same, with JSON's own escapes for all that does something to a terminal, but for line ends. */
export const escapeJson = (json: string): string =>
  json.replaceAll(UNPRINTABLE, (character) =>
    character === '\n' ? character : [...utf16(character)].map((unit) => `\\u${unit}`).join(''),
  );

/** The units of a character, four hexadecimal digits each. */
function* utf16(character: string): Generator<string> {
  for (let at = 0; at < character.length; at++) yield character.charCodeAt(at).toString(16).padStart(4, '0');
}
