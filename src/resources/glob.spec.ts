import fs, { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import fc from 'fast-check';
import fastGlob from 'fast-glob';
import { processorTime } from '../files/processor-time.fixture';
import { globCovers, matchGlob } from './glob';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'igvm-glob-')));
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (...paths: string[]) => {
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '');
  }
};
const match = (pattern: string) => matchGlob(pattern, root).map((path) => relative(root, path).replaceAll('\\', '/'));
const timed = <Result>(action: () => Result): Result => {
  const seconds = processorTime();
  const result = action();
  expect(seconds()).toBeLessThan(4);
  return result;
};

describe('a pattern', () => {
  it.each<[pattern: string, matched: string[]]>([
    ['boot/k-*', ['boot/k-', 'boot/k-1', 'boot/k-10', 'boot/k-[1]', 'boot/k-x', 'boot/k-ä']],
    ['boot/k-?', ['boot/k-1', 'boot/k-x', 'boot/k-ä']],
    ['boot/k-[0-9]', ['boot/k-1']],
    ['boot/k-[!0-9]', ['boot/k-x', 'boot/k-ä']],
    ['boot/k-[^0-9x]', ['boot/k-ä']],
    ['boot/k-{1,10,no}', ['boot/k-1', 'boot/k-10']],
    ['boot/{k,x}-{1{,0},y}', ['boot/k-1', 'boot/k-10']],
    ['boot/k-\\[1\\]', ['boot/k-[1]']],
    ['boot/k-[\\]\\[]1?', ['boot/k-[1]']],
    ['boot/k-[]', []],
    ['*/k-1', ['boot/k-1']],
    ['**/k-1', ['boot/deep/k-1', 'boot/k-1']],
    ['boot/**/k-1', ['boot/deep/k-1', 'boot/k-1']],
    ['**/**/deep/**', ['boot/deep/.hidden', 'boot/deep/k-1']],
    ['boot/deep/*', ['boot/deep/.hidden', 'boot/deep/k-1']],
    ['./boot//dee?/k-1', ['boot/deep/k-1']],
    ['boot/../boot/k-1*', ['boot/k-1', 'boot/k-10']],
    ['boot', []],
    ['b*', []],
    ['nowhere/*', []],
    ['boot/k-1/*', []],
    ['boot/k-{1', []],
    ['odd{1}', ['odd{1}']],
    ['{odd{1},boot}', ['odd{1}']],
  ])('%s matches %j', (pattern, matched) => {
    write(
      'boot/k-',
      'boot/k-1',
      'boot/k-10',
      'boot/k-x',
      'boot/k-ä',
      'boot/k-[1]',
      'boot/deep/k-1',
      'boot/deep/.hidden',
    );
    write('odd{1}');
    expect(match(pattern)).toEqual(matched);
  });

  it('follows a link that it names, but no other link', () => {
    write('real/k-1');
    symlinkSync('real', join(root, 'link'));
    symlinkSync('.', join(root, 'a'));
    symlinkSync('.', join(root, 'b'));
    symlinkSync('nowhere', join(root, 'k-dangling'));
    symlinkSync('real/k-1', join(root, 'k-2'));
    expect(match('lin?/k-*')).toEqual(['link/k-1']);
    expect(timed(() => match('**/k-?'))).toEqual(['k-2', 'real/k-1']);
    expect(match('k-*')).toEqual(['k-2']);
  });

  it('may start above its folder, or anywhere else except at the root of the file system', () => {
    write('sub/x', 'k5');
    expect(matchGlob('../k[0-9]', join(root, 'sub'))).toEqual([join(root, 'k5')]);
    expect(matchGlob(`${root}/k?`, '/nowhere')).toEqual([join(root, 'k5')]);
    for (const pattern of ['/**/k5', '/*/k5', '/*', '/./**', '/a/../*/x', `${'../'.repeat(40)}*`]) {
      expect(() => match(pattern)).toThrow(/cannot search the whole file system/);
    }
  });

  it.each([
    ['a range', 'k{1..999}{1..999}{1..999}', /range \{1\.\.999\}/],
    ['another kind of pattern', 'k@(a|b)', /"@\(" in a pattern is not supported/],
    ['another kind of pattern after a star', 'k*(a|b)', /"\*\(" in a pattern/],
    ['a named class of characters', 'k[[:digit:]]', /"\[\[:digit:\]" in a pattern is not supported/],
    ['alternatives with several steps', '{a/b,c}', /a slash in the braces/],
    ['deeply nested braces', `${'{a,'.repeat(9)}b${'}'.repeat(9)}`, /nested deeper than 8 levels/],
    ['longer than the limit', 'k*'.repeat(3000), /at most 1024 characters/],
  ])('is not %s', (_, pattern, reason) => {
    expect(() => timed(() => match(pattern))).toThrow(expect.objectContaining({ code: 'RESOURCE_PATH' }));
    expect(() => match(pattern)).toThrow(reason);
  });

  it.each([
    ['stars', '*a'.repeat(60) + 'b'],
    ['question marks and stars', '*?'.repeat(500)],
    ['alternatives', '{a,aa,aaa}'.repeat(100) + 'b'],
    ['alternatives with stars', '{*a,*aa,*}'.repeat(100) + 'b'],
    ['classes', '[a-zA-Z0-9]*'.repeat(78) + 'b'],
    ['long texts', '*' + 'a'.repeat(1000) + '*'],
    ['open brackets', '*' + '['.repeat(1000)],
    ['open braces', '*' + '{'.repeat(1000)],
    ['empty braces', '*' + '{}'.repeat(500)],
    ['folders of any depth', '**/*/'.repeat(200) + 'b'],
  ])('of many %s is quick', (_, pattern) => {
    write('a'.repeat(250), `${'a/'.repeat(50)}a`);
    for (let index = 0; index < 20; index++) write(`${'a'.repeat(200)}${index}`);
    expect(timed(() => match(pattern))).toEqual([]);
    timed(() => globCovers(pattern, 'a/'.repeat(256)));
    timed(() => globCovers(pattern, 'a'.repeat(1000)));
    expect(globCovers(pattern, 'a/'.repeat(100_000))).toBe(false);
  });

  it('does not skip a folder that may not be searched', () => {
    write('open/x', 'closed/x');
    const { readdirSync } = fs;
    jest.spyOn(fs, 'readdirSync').mockImplementation(((path: string, options: { withFileTypes: true }) => {
      if (path.endsWith('closed')) throw Object.assign(new Error(), { code: 'EACCES' });
      return readdirSync(path, options);
    }) as typeof readdirSync);
    expect(() => match('**/x')).toThrow(/closed cannot be searched \(EACCES\)/);
    jest.restoreAllMocks();
  });

  it('reads a limited number of names', () => {
    for (let folder = 0; folder < 450; folder++) mkdirSync(join(root, 'many', String(folder)), { recursive: true });
    // Each of 450 × 450 paths to a folder is searched.
    for (let folder = 0; folder < 450; folder++) symlinkSync('.', join(root, 'many', `link${folder}`));
    expect(() => timed(() => match('many/*/*/*/*/x'))).toThrow(/more than 200000 names/);
  });

  it('matches the same paths as an equivalent regular expression', () => {
    const piece = fc.constantFrom('a', 'b', '?', '*', '[ab]', '[!a]', '{a,b}', '{a,bb}', '\\*');
    const asRegExp: Record<string, string> = {
      '?': '.',
      '*': '.*',
      '[ab]': '[ab]',
      '[!a]': '[^a]',
      '{a,b}': '(?:a|b)',
      '{a,bb}': '(?:a|bb)',
      '\\*': '\\*',
    };
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1, maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 8 }),
        (pieces, name) => {
          if (pieces.join('') === '**') return;
          const expected = new RegExp(`^${pieces.map((each) => asRegExp[each] ?? each).join('')}$`).test(name);
          expect(globCovers(pieces.join(''), name)).toBe(expected);
        },
      ),
    );
  });
});

describe('a pattern covers', () => {
  it.each([
    ['dist/k-*', 'dist/k-6.1', true],
    ['dist/k-*', 'dist/x-6.1', false],
    ['dist/*', 'dist/folder/file', true],
    ['dist/**/k', 'dist/k', true],
    ['dist/**/k', 'dist/a/b/k/file', true],
    ['dist/**/k', 'build/k', false],
    ['{dist,out}/k', 'out/k', true],
    ['./dist/*', 'dist//k', true],
    ['dist/*/k', 'dist', false],
    ['**', 'anything/at/all', true],
  ])('%s: %s is %s', (pattern, path, covered) => {
    expect(globCovers(pattern, path)).toBe(covered);
  });
});

describe('fast-glob, as an independent reference', () => {
  const name = fc
    .oneof(fc.stringMatching(/^[ab.]{1,3}$/), fc.constantFrom('-', 'a-b', 'B', 'ab.x'))
    .filter((text) => !/^\.+$/.test(text));
  const piece = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('a', 'b', '.') },
    {
      weight: 3,
      arbitrary: fc.constantFrom('*', '?', '[ab]', '[!a]', '[a-b]', '{a,b}', '{a,b*}', '{ab,{a,b}.}', '{,a}b'),
    },
  );
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join('')) },
    { weight: 1, arbitrary: fc.constant('**') },
  );
  const pattern = fc
    .array(step, { minLength: 1, maxLength: 3 })
    .map((steps) => steps.join('/'))
    // Two stars in a name, and the segments `.` and `..`, have other meanings. fast-glob takes `?` in the name of a folder literally,
    // and its `a/**` matches a file `a`, too.
    .filter((text) => !text.endsWith('/**'))
    .filter((text) =>
      text
        .split('/')
        .every(
          (each, index, all) =>
            each === '**' || !(/\*\*|^[.{,}]+$/.test(each) || (index < all.length - 1 && each.includes('?'))),
        ),
    );

  it('finds the same files', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(name, { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
        fc.array(pattern, { minLength: 1, maxLength: 10 }),
        (paths, patterns) => {
          const folder = mkdtempSync(join(root, 'random-'));
          for (const path of paths) {
            try {
              mkdirSync(join(folder, ...path.slice(0, -1)), { recursive: true });
              writeFileSync(join(folder, ...path), '', { flag: 'wx' });
            } catch {
              // A file in place of a folder, or vice versa.
            }
          }
          const found = patterns.map((each) => [
            each,
            matchGlob(each, folder)
              .map((path) => relative(folder, path))
              .sort(),
          ]);
          const theirs = patterns.map((each) => [
            each,
            fastGlob.sync(each, { cwd: folder, dot: true, braceExpansion: true, suppressErrors: true }).sort(),
          ]);
          expect(found).toEqual(theirs);
        },
      ),
      { numRuns: Number(process.env['NX_IGVM_RANDOM_GLOBS'] ?? 100) },
    );
  });
});
