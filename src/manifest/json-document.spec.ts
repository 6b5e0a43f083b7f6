import { pathOf } from '../errors/json-path.fixture';
import fc from 'fast-check';
import { formatPath, IgvmError } from '../errors/igvm-error';
import { processorTime } from '../files/processor-time.fixture';
import { parseJson } from './json-document';

const failure = (content: string | Uint8Array): IgvmError => {
  try {
    parseJson(content, 'a.json');
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('expected a failure');
};

describe('a JSON document', () => {
  it('has exact whole numbers, and other numbers as floating point', () => {
    const { value } = parseJson(
      '{"u64": 18446744073709551615, "minus": -3, "float": 1.0, "power": 1e3, "zero": -0}',
      'a',
    );
    expect(value).toEqual({ u64: 18446744073709551615n, minus: -3n, float: 1, power: 1000, zero: -0 });
  });

  it('knows the location of every value and key', () => {
    const document = parseJson('{\n  "a": [\n    1, {"b": null}\n  ]\n}', 'a.json');
    expect(document.where(['a', 1, 'b'])).toEqual({ file: 'a.json', line: 3, column: 14, jsonPath: ['a', 1, 'b'] });
    expect(document.whereKey(['a', 1, 'b'])).toMatchObject({ line: 3, column: 9 });
    expect(document.source(['a', 1])).toBe('{"b": null}');
  });

  it('locates the key of an array item, or of the document, at the value itself', () => {
    const document = parseJson(' {"a": [1, 2]}', 'a.json');
    expect(document.whereKey(['a', 1])).toMatchObject({ column: 12, jsonPath: ['a', 1] });
    expect(document.whereKey([])).toMatchObject({ column: 2, jsonPath: [] });
    expect(document.whereKey(['b'])).toMatchObject({ column: 2, jsonPath: ['b'] });
    expect(document.source(['b'])).toBe('');
  });

  it('locates a missing key at the object that should have it', () => {
    const document = parseJson('{\n "a": {}\n}', 'a.json');
    expect(document.where(['a', 'b', 'c'])).toMatchObject({ line: 2, column: 7, jsonPath: ['a', 'b', 'c'] });
    expect(document.has(['a', 'b'])).toBe(false);
  });

  it('reports the second of two equal keys, and uses its value', () => {
    const document = parseJson('{"a": {"x": 1, "x": 2}}', 'a.json');
    expect(document.duplicates).toEqual([
      { path: ['a', 'x'], where: { file: 'a.json', line: 1, column: 16, jsonPath: ['a', 'x'] } },
    ]);
    expect(document.value).toEqual({ a: { x: 2n } });
    expect(document.source(['a', 'x'])).toBe('2');
  });

  it('treats __proto__ like any other key', () => {
    const { value } = parseJson('{"__proto__": {"polluted": true}}', 'a');
    expect(Object.keys(value as object)).toEqual(['__proto__']);
    expect((value as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it.each([
    ['a byte order mark', '\ufeff{}', 1, 1, '$'],
    ['a comment', '{\n  // no\n}', 2, 3, '$'],
    ['a comment without end', '{\n} /*', 2, 3, '$'],
    ['nothing but a comment without end', '/*', 1, 1, '$'],
    ['a trailing comma', '{"a": 1,}', 1, 9, '$'],
    ['data after the end', '{"a": 1} x', 1, 10, '$'],
    ['a second document', '{"a": 1} {}', 1, 10, '$'],
    ['nothing', '', 1, 1, '$'],
    ['single quotes', "{'a': 1}", 1, 2, '$'],
    ['a leading zero', '{"a": [1, 01]}', 1, 12, 'a[1]'],
    ['an open string', '{"a": "x', 1, 7, 'a'],
    ['a line break in a string', '{"a": "x\ny"}', 1, 7, 'a'],
    ['an unknown escape', '{"a": {"b": "\\x"}}', 1, 13, 'a.b'],
    ['NaN', '{"a": NaN}', 1, 7, 'a'],
    ['an open object', '{"a": {"b": 1}', 1, 15, 'a'],
  ])('refuses %s and says where', (_, text, line, column, jsonPath) => {
    const error = failure(text);
    expect(error.code).toBe('MANIFEST_SYNTAX');
    expect(error.where).toEqual({ file: 'a.json', line, column, jsonPath: pathOf(jsonPath) });
  });

  it.each([
    ['{"a": 0x20000000}', 'JSON has no hexadecimal numbers: write 536870912'],
    ['{"a": [1, 0X10]}', 'JSON has no hexadecimal numbers: write 16'],
    [`{"a": 0x${'f'.repeat(17)}}`, 'this is not a JSON value'],
    [`{"a": 'x64'}`, 'this is not a JSON value: a string needs double quotes'],
    [`{'a': 1}`, 'expected a key in double quotes'],
    ['{a: 1}', 'expected a key in double quotes'],
    ['{"a": True}', 'this is not a JSON value: a string needs double quotes, other words are true, false and null'],
    ['{"a": 1,}', 'remove the comma before this "}"'],
    ['{"a": [1,\n]}', 'remove the comma before this "]"'],
    ['{"a": }', 'expected a JSON value'],
    ['{"a": 1 "b": 2}', 'expected a comma'],
    ['{"a" 1}', 'expected a colon after the key'],
    ['{"a": 1', 'expected a closing brace'],
    ['', 'the document ends where a JSON value is expected'],
  ])('%s: %s', (text, message) => {
    expect(failure(text).message).toBe(message);
  });

  it('have a general remedy only if they do not say what to write', () => {
    expect(failure('{"a": 1,}').format()).toMatch(/this "}" \(at \$\) \[MANIFEST_SYNTAX\]$/);
    expect(failure('{"a": 1').format()).toMatch(/\[MANIFEST_SYNTAX\]\n {2}Correct the JSON/);
  });

  it.each([
    'SECRET',
    '"SECRET',
    '{"a": SECRET}',
    '{"a": "x" SECRET}',
    '{SECRET: 1}',
    '{"a": 1} SECRET',
    '{"a" SECRET}',
    '[0xSECRET]',
    'SECRET=1\nSECRET=2\n',
    '// SECRET',
    '-----BEGIN SECRET-----\nSECRET',
  ])('repeats no contents of a file that is not JSON: %s', (text) => {
    expect(failure(text).format()).not.toContain('SECRET');
  });

  it('locates the error in an invalid, very deeply nested text', () => {
    const bytes = Buffer.concat([Buffer.from('['.repeat(200_000)), Buffer.from([0xff])]);
    expect(failure(bytes)).toMatchObject({ code: 'MANIFEST_SYNTAX', where: { column: 200_001, jsonPath: [] } });
  });

  it('refuses bytes that are not UTF-8 and says where', () => {
    const bytes = Buffer.concat([Buffer.from('{\n "ä": "'), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(failure(bytes)).toMatchObject({ code: 'MANIFEST_SYNTAX', where: { line: 2, column: 8, jsonPath: ['ä'] } });
    expect(failure(Buffer.from([0x7b, 0xe2, 0x82])).code).toBe('MANIFEST_SYNTAX');
  });

  it('refuses nesting that would overflow the stack', () => {
    expect(failure('['.repeat(100_000)).message).toContain('nested deeper');
    expect(failure('{"a":'.repeat(100_000)).message).toContain('nested deeper');
    expect(parseJson(`${'['.repeat(512)}${']'.repeat(512)}`, 'a').value).toBeDefined();
  });

  it('agrees with JSON.parse on any text, and throws no other errors', () => {
    const sameAs = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? Number(inner) : inner)));
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom('', '{', ',', '"', '0', '\\', '\u0000'), (json, at, noise) => {
        const text = json.slice(0, at % (json.length + 1)) + noise + json.slice(at % (json.length + 1));
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expect(failure(text).code).toBe('MANIFEST_SYNTAX');
          return;
        }
        expect(sameAs(parseJson(text, 'a').value)).toEqual(sameAs(expected));
      }),
    );
  });
});

describe('locations in a document', () => {
  it('are 1-based lines and columns, of the last of equal keys', () => {
    const document = parseJson('{ "a": 1,\n\n  "b": [\n2], "a": 3 }', 'f');
    expect(document.where([])).toMatchObject({ line: 1, column: 1 });
    expect(document.where(['b'])).toMatchObject({ line: 3, column: 8 });
    expect(document.where(['b', 0])).toMatchObject({ line: 4, column: 1 });
    expect(document.whereKey(['a'])).toMatchObject({ line: 4, column: 5 });
    expect(document.where(['c', 'd'])).toMatchObject({ line: 1, column: 1, jsonPath: ['c', 'd'] });
  });

  it('are found in time linear in the size of the document', () => {
    const keys = Array.from({ length: 50_000 }, (_, index) => `k${index}`);
    const document = parseJson(`{\n${keys.map((key) => `"${key}": 1`).join(',\n')}\n}`, 'f');
    const seconds = processorTime();
    for (const [index, key] of keys.entries()) {
      if (document.whereKey([key]).line !== index + 2) throw new Error(key);
    }
    // This takes tens of milliseconds; in quadratic time it would take half a minute.
    expect(seconds()).toBeLessThan(5);
  });
});

describe('a JSON path', () => {
  it.each([
    [[], '$'],
    [['guest_configs', 0, 'image'], 'guest_configs[0].image'],
    [['resources', 'a b', '$schema'], 'resources["a b"].$schema'],
    [['a"b]', 1], '["a\\"b]"][1]'],
  ])('%j is written %s', (path, text) => {
    expect(formatPath(path)).toBe(text);
  });
});
