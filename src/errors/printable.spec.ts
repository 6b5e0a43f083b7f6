import { IgvmError } from './igvm-error';
import { escapeJson, LogText, printable, printableJson } from './printable';

describe('printable', () => {
  it('shows control characters as codes and leaves other text unchanged', () => {
    expect(printable('äöü 漢字 🙂')).toBe('äöü 漢字 🙂');
    expect(printable('\u0000\u007f\u009b\u2028\ud800')).toBe('\\u{0}\\u{7f}\\u{9b}\\u{2028}\\u{d800}');
  });
});

describe('invisible text', () => {
  it.each([
    ['a Hangul filler', '\u3164', '3164'],
    ['another filler', '\u115f', '115f'],
    ['a blank Braille pattern', '\u2800', '2800'],
    ['a variation selector', '\ufe0f', 'fe0f'],
    ['a supplementary variation selector', '\u{e0100}', 'e0100'],
    ['a combining grapheme joiner', '\u034f', '34f'],
    ['a no-break space', '\u00a0', 'a0'],
    ['a wide space', '\u3000', '3000'],
    ['a right-to-left override', '\u202e', '202e'],
    ['a tag', '\u{e0041}', 'e0041'],
    ['a soft hyphen', '\u00ad', 'ad'],
  ])('is shown as a code: %s', (_, character, code) => {
    expect(printable(`a${character}b`)).toBe(`a\\u{${code}}b`);
    expect(escapeJson(`"${character}"`)).toMatch(/^"(\\u[0-9a-f]{4})+"$/);
    expect(JSON.parse(escapeJson(`"${character}"`))).toBe(character);
  });

  it('differs from text in a file that imitates the escapes', () => {
    expect(printable('a\\u{202e}b')).toBe('a\\u{5c}u{202e}b');
    expect(printable('C:\\users\\u')).toBe('C:\\users\\u');
  });
});

describe('the output of a guest in a log', () => {
  const pieces = (...parts: string[]) => {
    const log = new LogText();
    return parts.map((part) => log.add(part)).join('') + log.end();
  };

  it('consists of text and lines', () => {
    expect(pieces('a\tb\r\nc\u001b]52;c;eA==\u0007d\re\u009b2J\n')).toBe(
      'a\tb\r\nc\\u{1b}]52;c;eA==\\u{7}d\\u{d}e\\u{9b}2J\n',
    );
    expect(pieces('[    0.0] pci 0000:00:1f.0: ok :: fine\n# ## [x]\n')).toBe(
      '[    0.0] pci 0000:00:1f.0: ok :: fine\n# ## [x]\n',
    );
  });

  const hostile = '::add-mask::x\n  ::stop-commands::y\na ::z\n##[error]e\nb ##vso[task]f\n##teamcity[x]\r\n::';
  const harmless = [
    '\\u{3a}:add-mask::x\n  \\u{3a}:stop-commands::y\na ::z\n\\u{23}#[error]e\nb \\u{23}#vso[task]f\n',
    '\\u{23}#teamcity[x]\r\n\\u{3a}:',
  ].join('');

  it('has no commands for a CI service, wherever it is split', () => {
    expect(pieces(hostile)).toBe(harmless);
    expect(pieces(...Array.from(hostile))).toBe(harmless);
    for (let at = 1; at < hostile.length; at++) expect(pieces(hostile.slice(0, at), hostile.slice(at))).toBe(harmless);
  });

  it('is not delayed if it can be shown', () => {
    expect(new LogText().add('login: ')).toBe('login: ');
  });
});

describe('printableJson', () => {
  it('has the same meaning as its input, in harmless characters', () => {
    const value = { 'a\u009b': ['line\n\u2028', '\u{e0041}\u202e', 'äöü 漢字 🙂', '\ud800'] };
    const text = printableJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).toContain('äöü 漢字 🙂');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{C}\u2028]/u);
  });
});

describe('a message', () => {
  it('stays on one line, whatever the name and contents of a file', () => {
    const error = new IgvmError('MANIFEST_INVALID', 'found "a\n\u001b[2J"', { file: 'b\r.json', line: 1, column: 2 });
    expect(error.format().split('\n')[0]).toBe('b\\u{d}.json:1:2: found "a\\u{a}\\u{1b}[2J" [MANIFEST_INVALID]');
  });
});
