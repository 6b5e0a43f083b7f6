import { withProperty } from './adopt-manifest';

describe('setting a property in the text of a JSON object', () => {
  it('puts it first or last, and changes nothing else', () => {
    const text = '{\n    "a": 18446744073709551615, "b" : [ 1,\n2 ]\n}\n';
    expect(withProperty(text, 'x', 'y', 'first')).toBe(
      '{\n    "x": "y",\n    "a": 18446744073709551615, "b" : [ 1,\n2 ]\n}\n',
    );
    expect(withProperty(text, 'x', { y: 1 }, 'last')).toBe(
      '{\n    "a": 18446744073709551615, "b" : [ 1,\n2 ],\n    "x": {\n        "y": 1\n    }\n}\n',
    );
  });

  it('replaces a value in place', () => {
    expect(withProperty('{"a":1,"x":{"old":true},"b":2}', 'x', 3, 'first')).toBe('{"a":1,"x":3,"b":2}');
  });

  it('keeps the line endings of the text', () => {
    expect(withProperty('{\r\n\t"a": 1\r\n}', 'x', [1], 'last')).toBe(
      '{\r\n\t"a": 1,\r\n\t"x": [\r\n\t\t1\r\n\t]\r\n}',
    );
  });

  it('fills an empty object', () => {
    expect(withProperty('{}', 'x', 1, 'first')).toBe('{\n  "x": 1\n}');
  });
});
