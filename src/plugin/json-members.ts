/**
 * A JSON object without some of its own members, for hashing: equal texts say the same. Everything else stays as it is
 * written, numbers of any size included; only space around the members is lost. What isn't a JSON object comes back whole.
 */
export function withoutMembers(text: string, keys: readonly string[]): string {
  if (!isObject(text)) return text;
  const kept = members(text).filter((member) => !keys.includes(keyOf(member)));
  return `{${kept.join(',')}}`;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** Where a string of JSON ends, behind its quote. @param at its first quote */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

/** The members of an object as they are written. @param text a valid JSON object */
function members(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      at = endOfString(text, at) - 1;
      continue;
    }
    const isEnd = depth === 1 && (character === ',' || character === '}');
    if (isEnd) found.push(text.slice(start, at).trim());
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    if (isEnd || (depth === 1 && start === 0)) start = at + 1;
  }
  return found.filter((member) => member !== '');
}

/** The key of a member, whatever escapes it is written with. */
const keyOf = (member: string): string => JSON.parse(member.slice(0, endOfString(member, 0))) as string;
