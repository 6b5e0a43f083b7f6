import { parseTree } from 'jsonc-parser';

/**
 * The text of a JSON object with one property set at its top level, and every other character as it was: no integer
 * loses digits, no line is wrapped anew.
 * @param place where a property goes that isn't there yet
 */
export function withProperty(text: string, key: string, value: unknown, place: 'first' | 'last'): string {
  const root = parseTree(text);
  if (root?.type !== 'object') {
    throw new Error('bug in nx-igvm: only the text of a JSON object can be edited');
  }
  const properties = root.children ?? [];
  const indent = indentOf(text);
  const lineBreak = `${text.includes('\r\n') ? '\r\n' : '\n'}${indent}`;
  const json = JSON.stringify(value, null, indent).replaceAll('\n', lineBreak);
  const existing = properties.find((property) => property.children?.[0]?.value === key)?.children?.[1];
  if (existing !== undefined) {
    return splice(text, existing.offset, existing.length, json);
  }
  const property = `${JSON.stringify(key)}: ${json}`;
  const first = properties[0];
  const last = properties.at(-1);
  if (first === undefined || last === undefined) {
    return splice(text, root.offset, root.length, `{${lineBreak}${property}${lineBreak.slice(0, -indent.length)}}`);
  }
  return place === 'first'
    ? splice(text, first.offset, 0, `${property},${lineBreak}`)
    : splice(text, last.offset + last.length, 0, `,${lineBreak}${property}`);
}

function splice(text: string, offset: number, length: number, replacement: string): string {
  return text.slice(0, offset) + replacement + text.slice(offset + length);
}

/** The indentation of the first indented line. */
function indentOf(text: string): string {
  return /^([ \t]+)\S/m.exec(text)?.[1] ?? '  ';
}
