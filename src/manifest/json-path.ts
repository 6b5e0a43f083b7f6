/** A place in a JSON document: keys and array indices from the root. */
export type JsonPath = readonly (string | number)[];

/** `guest_configs[0].image.linux`; `$` for the root; keys that are no identifiers in brackets: `resources["a b"]`. */
export function formatPath(path: JsonPath): string {
  if (path.length === 0) return '$';
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (/^[\w$]+$/.test(step)) return index === 0 ? step : `.${step}`;
      return `[${JSON.stringify(step)}]`;
    })
    .join('');
}

/** The inverse of {@link formatPath}. Text that is no path gives the part that is. */
export function parsePath(text: string): JsonPath {
  if (text === '$') return [];
  const path: (string | number)[] = [];
  for (const [, quoted, index, name] of text.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g)) {
    if (quoted !== undefined) path.push(JSON.parse(quoted) as string);
    else if (index !== undefined) path.push(Number(index));
    else path.push(name!);
  }
  return path;
}
