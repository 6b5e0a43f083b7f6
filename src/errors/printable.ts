/**
 * Text from a file as it may be shown on a terminal: control characters, line breaks and characters that reorder text
 * become `\u{...}`, so that a file can neither move the cursor nor fake lines.
 */
export const printable = (text: string): string =>
  text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
