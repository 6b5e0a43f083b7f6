import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getPromptsForSchema } from 'nx/src/utils/params';
import { withoutSkipped } from './generate';

const { isTTY } = process.stdout;
const { CI } = process.env;
afterEach(() => {
  process.stdout.isTTY = isTTY;
  if (CI === undefined) delete process.env['CI'];
  else process.env['CI'] = CI;
});

describe('options that a user may be asked for', () => {
  it('are dropped when the user skips the question', () => {
    process.stdout.isTTY = true;
    process.env['CI'] = '';
    const options = withoutSkipped({ name: 'a', kernel: '', initrd: ' ', busybox: 'b' }, [
      'kernel',
      'initrd',
      'busybox',
    ]);
    expect(Object.keys(options)).toEqual(['name', 'busybox']);
  });

  it.each([
    ['no terminal', false, ''],
    ['a CI service', true, 'true'],
  ])('are refused when they are empty and nobody was asked: %s', (_, terminal, ci) => {
    process.stdout.isTTY = terminal;
    process.env['CI'] = ci;
    expect(() => withoutSkipped({ kernel: '' }, ['kernel'])).toThrow('kernel is empty');
  });
});

describe('the questions that Nx asks', () => {
  const questions = (generator: string): (string | undefined)[] => {
    const schema = JSON.parse(readFileSync(join(__dirname, '..', generator, 'schema.json'), 'utf8'));
    return getPromptsForSchema({}, schema, null as never).map(({ name }) => name as string);
  };

  it('are about what an image needs', () => {
    expect(questions('guest-image')).toEqual(['name', 'type', 'arch', 'isolation', 'kernel', 'initrd']);
    expect(questions('initrd')).toEqual(['name', 'busybox', 'arch']);
  });
});
