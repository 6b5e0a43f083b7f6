import { type ErrorWhere, formatPath, type JsonPath } from './igvm-error';

/** The inverse of `formatPath`, for expectations: `guest_configs[0].image`. */
export function pathOf(text: string): JsonPath {
  if (text === '$') return [];
  const steps = text.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g);
  return Array.from(steps, ([, quoted, index, name]) => {
    if (quoted !== undefined) return JSON.parse(quoted) as string;
    return index === undefined ? name! : Number(index);
  });
}

/** The path of an error as messages show it. */
export const textOf = ({ jsonPath }: ErrorWhere): string | undefined => jsonPath && formatPath(jsonPath);
