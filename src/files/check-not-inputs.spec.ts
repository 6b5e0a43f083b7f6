import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkNotInputs, placeOf } from './atomic-output';

describe('an output', () => {
  let folder: string;
  let input: string;
  const at = (...path: string[]): string => join(folder, ...path);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-inputs-'));
    mkdirSync(at('in'));
    input = at('in', 'kernel');
    writeFileSync(input, 'kernel');
    symlinkSync('in', at('linked'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const refusal = (output: string): Error =>
    expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: output } }) as Error;

  it('may be any file that is not an input', () => {
    writeFileSync(at('other'), 'other');
    expect(() => checkNotInputs([at('other'), at('in', 'new'), at('new', 'folder', 'file')], [input])).not.toThrow();
  });

  it.each([
    ['by its name', () => at('in', '..', 'in', 'kernel')],
    ['below a link to its folder', () => at('linked', 'kernel')],
  ])('must not be an input %s', (_, name) => {
    expect(() => checkNotInputs([at('new'), name()], [input])).toThrow(refusal(name()));
  });

  it('must not be an input with two hard links, even through a symlink', () => {
    linkSync(input, at('second'));
    expect(() => checkNotInputs([at('second')], [input])).not.toThrow();
    expect(() => checkNotInputs([at('linked', 'kernel')], [input])).toThrow(refusal(at('linked', 'kernel')));
  });

  it('must not be the target of an input that is a link', () => {
    symlinkSync(input, at('current'));
    expect(() => checkNotInputs([input], [at('current')])).toThrow(refusal(input));
    expect(() => checkNotInputs([at('current')], [input])).not.toThrow();
  });

  it('must not be an input that does not exist yet', () => {
    rmSync(input);
    expect(() => checkNotInputs([at('linked', 'kernel')], [input])).toThrow(refusal(at('linked', 'kernel')));
  });
});

describe('the resolved path of an output', () => {
  it('contains no links, whether it exists or not', () => {
    const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-place-'));
    mkdirSync(join(folder, 'a'));
    symlinkSync('a', join(folder, 'b'));
    expect(placeOf(join(folder, 'b', 'c', 'd'))).toBe(placeOf(join(folder, 'a', 'c', 'd')));
    rmSync(folder, { recursive: true });
  });
});
