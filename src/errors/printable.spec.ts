import { IgvmError } from './igvm-error';
import { printable, printableJson } from './printable';

describe('printable', () => {
  it('shows control characters by their code and leaves other text', () => {
    expect(printable('äöü 漢字 🙂')).toBe('äöü 漢字 🙂');
    expect(printable('\u0000\u007f\u009b\u2028\ud800')).toBe('\\u{0}\\u{7f}\\u{9b}\\u{2028}\\u{d800}');
  });
});

describe('printableJson', () => {
  it('means what it is given, in characters that do nothing', () => {
    const value = { 'a\u009b': ['line\n\u2028', '\u{e0041}\u202e', 'äöü 漢字 🙂', '\ud800'] };
    const text = printableJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).toContain('äöü 漢字 🙂');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{C}\u2028]/u);
  });
});

describe('a message', () => {
  it('stays one line, whatever a file is called and holds', () => {
    const error = new IgvmError('MANIFEST_INVALID', 'found "a\n\u001b[2J"', { file: 'b\r.json', line: 1, column: 2 });
    expect(error.format().split('\n')[0]).toBe('b\\u{d}.json:1:2: found "a\\u{a}\\u{1b}[2J" [MANIFEST_INVALID]');
  });
});
