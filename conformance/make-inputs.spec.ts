import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INPUTS } from './make-inputs';

const expected = new Map(
  readFileSync(join(__dirname, 'inputs.sha256'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => [line.slice(66), line.slice(0, 64)]),
);

describe('the conformance inputs', () => {
  it('are complete', () => {
    expect(Object.keys(INPUTS).sort()).toEqual([...expected.keys()].sort());
  });

  it.each([...expected])('include %s with the recorded digest', (name, digest) => {
    expect(hash('sha256', INPUTS[name]?.() ?? new Uint8Array())).toBe(digest);
  });
});
