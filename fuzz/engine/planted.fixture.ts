/** Small pieces of code with planted bugs, to test that the fuzzer finds them. */
import type { CoverageMap } from './coverage';
import { instrument, type Literals } from './instrument';
import type { Target } from './target';

/** A header with a magic number and a length that must be right; the bug is after both. */
const PARSER = `
module.exports = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 12) return 'short';
  if (view.getUint32(0, true) !== 0x5a17c0de) return 'no magic';
  if (view.getUint16(4, true) !== bytes.length) return 'wrong length';
  if (bytes[6] < 0x80) return 'no flag';
  if (bytes[7] === 3) throw new TypeError('planted');
  return 'fine';
};`;

const PATH = 'planted/src/parser.js';

/** The parser, counting in `coverage`. */
export function plantedTarget(coverage: CoverageMap): { target: Target; literals: Map<string, Literals> } {
  coverage.install();
  const { code, literals } = instrument(PARSER, PATH);
  const module = { exports: undefined as unknown };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code is ours, and must be instrumented first
  new Function('module', code)(module);
  const parse = module.exports as (bytes: Uint8Array) => string;
  const target: Target = {
    name: 'planted',
    about: 'a bug that needs a magic number and a length',
    format: 'binary',
    seeds: () => [new Uint8Array(16)],
    run: ({ bytes }) => void parse(bytes),
  };
  return { target, literals: new Map([[PATH, literals]]) };
}

const misbehaving = (name: string, run: Target['run']): Target => ({
  name,
  about: `always hangs or fails`,
  format: 'binary',
  seeds: () => [Uint8Array.of(1, 2, 3)],
  run,
});

/** Targets that only another thread can stop. */
export const TARGETS: readonly Target[] = [
  misbehaving('hangs', ({ bytes }) => {
    while (bytes.length > 0);
  }),
  misbehaving('eats-memory', () => {
    const eaten: unknown[] = [];
    for (;;) eaten.push([eaten.length, {}]);
  }),
  misbehaving('behaves', () => undefined),
];
