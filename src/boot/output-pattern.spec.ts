import { looksAhead, OutputPattern } from './run-vm';

/** The results of a pattern for output in pieces, up to the first match and at the end. */
function looking(pattern: RegExp, ...pieces: string[]): (string | boolean)[] {
  const output = new OutputPattern(pattern);
  const answers: (string | boolean)[] = [];
  for (const piece of pieces) {
    if (output.take(Buffer.from(piece))) return [...answers, piece];
  }
  return [...answers, output.end()];
}

describe('a pattern in the output of a guest', () => {
  it.each([
    ['an end of line', /^tests failed: 1$/m],
    ['an end of a word', /^tests failed: 1\b/m],
    ['no end of a word', /^tests failed: 1\B/m],
    ['something that must not follow', /^tests failed: 1(?!\d)/m],
    ['something that must follow', /^tests failed: 1(?=$)/m],
  ])('with %s waits for the whole line', (_, pattern) => {
    const isThere = new RegExp(pattern).test('tests failed: 12');
    expect(looking(pattern, 'tests failed: 1', '2\r\n')).toEqual([isThere ? '2\r\n' : false]);
    const alone = new RegExp(pattern, 'm').test('tests failed: 1');
    expect(looking(pattern, 'tests failed: 1', '\r\n')).toEqual([alone ? '\r\n' : false]);
  });

  it('finds a prompt, which has no line end, immediately', () => {
    expect(looking(/^login: /m, '\nlog', 'in', ': ')).toEqual([': ']);
    expect(looking(/[$] $/m, '/ $ ')).toEqual([true]);
    expect(looking(/[$] /m, '/ $ ')).toEqual(['/ $ ']);
  });

  it('matches the last line at the end of the output', () => {
    expect(looking(/^done$/m, 'done')).toEqual([true]);
    expect(looking(/^done$/m, 'done!')).toEqual([false]);
  });

  it('finds only real empty lines', () => {
    expect(looking(/^$/m, 'a\n', 'b')).toEqual([false]);
    expect(looking(/^$/m, 'a\n')).toEqual([false]);
    expect(looking(/^$/m, 'a\n', '\n', 'b')).toEqual(['\n']);
  });

  it('recognises a last line that would match if it ended', () => {
    const output = new OutputPattern(/^failed: 1$/m);
    output.take(Buffer.from('x\nfailed: 1'));
    expect(output.matchingRest()).toBe('failed: 1');
    output.take(Buffer.from('2'));
    expect(output.matchingRest()).toBeUndefined();
  });

  it('may span lines, and characters that arrive in pieces', () => {
    expect(looking(/a[^]*z$/m, 'a\nb\n', 'z\n')).toEqual(['z\n']);
    const output = new OutputPattern(/ä/);
    expect([output.take(Buffer.of(0xc3)), output.take(Buffer.of(0xa4))]).toEqual([false, true]);
  });

  it('finds no start of a line where older text was dropped', () => {
    const output = new OutputPattern(/^x/m);
    expect(output.take(Buffer.from('a'))).toBe(false);
    for (let pieces = 0; pieces < 40; pieces++) expect(output.take(Buffer.from('x'.repeat(4096)))).toBe(false);
    expect(output.take(Buffer.from('\nx'))).toBe(true);
    const lines = new OutputPattern(/^b$/m);
    for (let pieces = 0; pieces < 40; pieces++) expect(lines.take(Buffer.from(`${'ab'.repeat(2048)}\n`))).toBe(false);
    expect(lines.take(Buffer.from('b\n'))).toBe(true);
  });
});

describe('a pattern looks ahead', () => {
  it.each(['a$', 'a\\b', '\\Ba', 'a(?=b)', 'a(?!b)', '[a]$', '\\\\\\b', '(?:a$)'])('as %s', (source) =>
    expect(looksAhead(source)).toBe(true),
  );
  it.each(['a', '^a', '[$]', '\\$', '[\\b]', '[\\]$]', '(?<=a)b', '(?<!a)b', '(?:a)', '(?<n>a)', '\\\\b'])(
    'not as %s',
    (source) => expect(looksAhead(source)).toBe(false),
  );
});
