/** Output for a terminal must not move the cursor or fake lines. */
export function expectPlainText(text: string): void {
  const [found] = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.exec(text) ?? [];
  if (found !== undefined) throw new Error(`output has U+${found.codePointAt(0)?.toString(16)}`);
}
