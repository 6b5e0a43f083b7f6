import { type ErrorWhere, formatPath, type JsonPath } from './igvm-error';

/** The path for a text such as `guest_configs[0].image`. The inverse of `formatPath`. */
export function pathOf(text: string): JsonPath {
  if (text === '$') return [];
  const steps = text.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g);
  return Array.from(steps, ([, quoted, index, name]) => {
    if (quoted !== undefined) return JSON.parse(quoted) as string;
    return index === undefined ? name! : Number(index);
  });
}

/** The path of an error in the form of messages. */
export const textOf = ({ jsonPath }: ErrorWhere): string | undefined => jsonPath && formatPath(jsonPath);
