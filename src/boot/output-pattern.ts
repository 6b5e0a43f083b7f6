import { StringDecoder } from 'node:string_decoder';

/** Characters of output in which a pattern is looked for. */
const REMEMBERED = 1 << 16;

/**
 * Looks for a pattern in what a guest prints, which comes in pieces of any length.
 *
 * A match must be one whatever comes next. So a pattern that looks at what follows a match (`$`, `\b`, a lookahead) sees whole lines only:
 * `^failed: 1$` is not in `failed: 1` while the line goes on with `2`. Any other is found as soon as its text is there, in a
 * prompt, for example. Carriage returns are not part of the text.
 */
export class OutputPattern {
  private readonly pattern: RegExp;
  private readonly looksAhead: boolean;
  private readonly decoder = new StringDecoder('utf8');
  private text = '';
  /** Whether `text` begins within a line, of which one more character is kept than the pattern may match. */
  private isCut = false;

  constructor(source: RegExp) {
    this.pattern = new RegExp(source.source, [...new Set(`${source.flags}g`)].join('').replace('y', ''));
    this.looksAhead = looksAhead(source.source);
  }

  /** Whether the output matches, with these bytes added. */
  take(bytes: Uint8Array): boolean {
    const added = this.decoder.write(bytes).replaceAll('\r', '');
    if (added === '') return false;
    this.text += added;
    const isNew = this.looksAhead ? added.includes('\n') && this.matches(this.wholeLines()) : this.matches(this.text);
    this.forget();
    return isNew;
  }

  /** Whether the output matches now that nothing follows. */
  end(): boolean {
    return this.matches(this.text.replace(/\n$/, ''));
  }

  /** The last line, should it match if it is complete. */
  matchingRest(): string | undefined {
    const rest = this.text.slice(this.text.lastIndexOf('\n') + 1);
    return rest !== '' && this.matches(this.text) ? rest : undefined;
  }

  /** The complete lines, without the last line's end: `$` is there, and no line follows that might be empty. */
  private wholeLines(): string {
    return this.text.slice(0, this.text.lastIndexOf('\n'));
  }

  private matches(text: string): boolean {
    this.pattern.lastIndex = this.isCut ? 1 : 0;
    return this.pattern.test(text);
  }

  private forget(): void {
    const from = this.text.length - REMEMBERED;
    if (from <= 0) return;
    const line = this.text.indexOf('\n', from);
    this.isCut = line === -1;
    this.text = this.text.slice(line === -1 ? from - 1 : line + 1);
  }
}

/** Whether a regular expression can depend on what follows a match. */
export function looksAhead(source: string): boolean {
  for (let at = 0, inClass = false; at < source.length; at++) {
    const char = source[at];
    if (char === '\\') {
      at++;
      if (!inClass && (source[at] === 'b' || source[at] === 'B')) return true;
    } else if (inClass) {
      inClass = char !== ']';
    } else if (char === '[') {
      inClass = true;
    } else if (char === '$' || source.startsWith('(?=', at) || source.startsWith('(?!', at)) {
      return true;
    }
  }
  return false;
}
