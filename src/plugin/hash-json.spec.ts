import fc from 'fast-check';
import { withoutMembers } from './hash-files';

describe('a JSON object without some members', () => {
  it.each<[text: string, rest: string]>([
    ['{"a": 1, "launches": [{"vmm": "x, }"}], "b": "}"}', '{"a": 1,"b": "}"}'],
    ['{"launches": []}', '{}'],
    ['{}', '{}'],
    [' { "a" : 1 } ', '{"a" : 1}'],
    ['{"l\\u0061unches": 1, "a": "\\"launches\\": 2,"}', '{"a": "\\"launches\\": 2,"}'],
    ['{"a": {"launches": 1}}', '{"a": {"launches": 1}}'],
    ['{"a": 18446744073709551615}', '{"a": 18446744073709551615}'],
    ['{"\\\\": 1, "launches": "\\\\"}', '{"\\\\": 1}'],
    ['["launches"]', '["launches"]'],
    ['{"launches": 1', '{"launches": 1'],
    ['', ''],
  ])('%j', (text, rest) => {
    expect(withoutMembers(text, ['launches', 'boot_test'])).toBe(rest);
  });

  it('says what the object says otherwise, and nothing of these members', () => {
    const space = fc.constantFrom(undefined, 1, '\t');
    const keys = fc.oneof(fc.constantFrom('launches', 'a', '__proto__', '"', '\\'), fc.string());
    fc.assert(
      fc.property(
        fc.dictionary(keys, fc.jsonValue(), { noNullPrototype: true }),
        fc.jsonValue(),
        space,
        (object, launches, indent) => {
          const { launches: _, ...others } = object;
          const text = withoutMembers(JSON.stringify({ ...object, launches }, undefined, indent), ['launches']);
          expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(others)));
          expect(withoutMembers(JSON.stringify(others, undefined, indent), ['launches'])).toBe(text);
        },
      ),
    );
  });
});
