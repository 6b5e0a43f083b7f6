import type { Target } from '../engine/target';

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A target that takes JSON documents; `seeds` are their values. */
export const jsonTarget = (part: Pick<Target, 'name' | 'about' | 'run'> & { values: readonly unknown[] }): Target => ({
  name: part.name,
  about: part.about,
  run: part.run,
  format: 'json',
  maxSize: 8 * 1024,
  dictionary: ['\\u0000', '\\ud800', '\ufeff', '//', '/*', '1e400', '__proto__', '\u2028'],
  seeds: () => part.values.map(text),
});
