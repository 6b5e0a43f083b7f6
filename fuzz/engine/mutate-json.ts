import { type Material, mutateBytes } from './mutate-bytes';
import type { Random } from './random';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Values that are difficult for readers of JSON. They are source text, because not all of them survive JSON.stringify. */
const SOURCES = [
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '0',
  '-0',
  '-1',
  '1.5',
  '1e3',
  '1e999',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '18446744073709551615',
  '18446744073709551616',
  '-9223372036854775809',
  `1${'0'.repeat(400)}`,
  '"\\u0000"',
  '"\\ud800"',
  '"\\u001b[2J"',
  '"__proto__"',
  '"../../../etc/passwd"',
  '"/"',
  '"*{a,b}**"',
];

const KEYS = ['__proto__', 'constructor', 'toString', 'length', '', '0', '$ref', '\u0000', '\u202e'];

/** Replaced by a source text when the value is written. */
const MARK = '\u0001source:';

const someValue = (random: Random): Json => `${MARK}${random.pick(SOURCES)}`;

/** Every object and array of a value, itself included. */
function containersOf(value: Json): (Json[] | { [key: string]: Json })[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value, ...Object.values(value).flatMap(containersOf)];
}

const setOwn = (object: object, key: string, value: Json): void => {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
};

function changeArray(array: Json[], random: Random, other: Json): void {
  const at = random.below(array.length + 1);
  const choice = random.below(4);
  if (choice === 0) array.splice(at, 1);
  else if (choice === 1) array.splice(at, 0, structuredClone(array[random.below(array.length)] ?? someValue(random)));
  else if (choice === 2) array.splice(at, 1, someValue(random));
  else array.splice(at, random.below(2), structuredClone(other));
}

function changeObject(object: { [key: string]: Json }, random: Random, other: Json, names: readonly string[]): void {
  const keys = Object.keys(object);
  const key = keys.length === 0 ? random.pick(names) : random.pick(keys);
  // Without inherited properties, such as a constructor.
  const value = Object.hasOwn(object, key) ? (object[key] ?? null) : null;
  const choice = random.below(7);
  if (choice === 0) delete object[key];
  else if (choice === 1) setOwn(object, random.pick(names), value);
  else if (choice === 2) setOwn(object, random.pick(names), someValue(random));
  else if (choice === 3) setOwn(object, key, [value]);
  else if (choice === 4) setOwn(object, key, { [random.pick(names)]: value });
  else if (choice === 5) setOwn(object, key, structuredClone(other));
  else setOwn(object, key, someValue(random));
}

function write(value: Json, random: Random): string {
  const text = JSON.stringify(value, undefined, random.oneIn(4) ? 1 : undefined);
  return text.replaceAll(/"\\u0001source:((?:[^"\\]|\\.)*)"/g, (_, source: string) =>
    String(JSON.parse(`"${source}"`)),
  );
}

const nested = (text: string, random: Random): string => {
  const depth = 1 << random.below(12);
  return random.oneIn(2)
    ? '['.repeat(depth) + text + ']'.repeat(depth)
    : `${'{"a":'.repeat(depth)}${text}${'}'.repeat(depth)}`;
};

/** Levels of a document that is changed as a tree, by recursion; deeper ones are changed as bytes. */
const DEEPEST_TREE = 200;

/** The maximum number of open brackets. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text) {
    if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth);
    else if (character === ']' || character === '}') depth--;
  }
  return deepest;
}

function parsed(bytes: Uint8Array): Json | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return depthOf(text) > DEEPEST_TREE ? undefined : (JSON.parse(text) as Json);
  } catch {
    return undefined;
  }
}

/** Changes JSON as a tree, and sometimes as text; other inputs as bytes. */
export function mutateJson(bytes: Uint8Array, material: Material): Uint8Array {
  const { random, maxSize, other, dictionary } = material;
  const value = random.oneIn(4) ? undefined : parsed(bytes);
  if (value === undefined) return mutateBytes(bytes, material);
  const otherContainers = containersOf(parsed(other) ?? null);
  const names = [
    ...KEYS,
    ...containersOf(value).flatMap((container) => Object.keys(container)),
    ...otherContainers.flatMap((container) => Object.keys(container)),
    ...Array.from({ length: 8 }, () => wordOf(dictionary, random)),
  ];
  for (let left = 1 << random.small(5); left > 0; left--) {
    const containers = containersOf(value);
    if (containers.length === 0) break;
    const container = random.pick(containers);
    const from = otherContainers.length === 0 ? null : random.pick(otherContainers);
    if (Array.isArray(container)) changeArray(container, random, from);
    else changeObject(container, random, from, names);
  }
  const text = write(value, random);
  const result = new TextEncoder().encode(random.oneIn(50) ? nested(text, random) : text);
  return result.subarray(0, maxSize);
}

function wordOf(dictionary: Material['dictionary'], random: Random): string {
  const word = dictionary.length === 0 ? undefined : parsed(random.pick(dictionary));
  return typeof word === 'string' ? word : String(random.below(100));
}
