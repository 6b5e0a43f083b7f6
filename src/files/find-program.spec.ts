import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { findProgram, programPath } from './find-program';

describe('a program that an option names', () => {
  let home: string;
  let search: string;
  const path = (...names: string[]): string => join(home, ...names);
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'nx-igvm-program-'));
    for (const folder of ['first', 'second', 'work']) mkdirSync(path(folder));
    writeFileSync(path('first', 'loader'), 'no program');
    writeFileSync(path('second', 'loader'), '#!/bin/sh\n', { mode: 0o755 });
    search = ['', path('first'), path('second')].join(delimiter);
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it('is looked up in PATH if it is only a name', () => {
    expect(findProgram('loader', search)).toBe(path('second', 'loader'));
    expect(findProgram('other', search)).toBeUndefined();
    expect(programPath('loader', path('work'), search)).toBe(path('second', 'loader'));
  });

  it('is a file in the folder if there is one', () => {
    writeFileSync(path('work', 'loader'), '');
    expect(programPath('loader', path('work'), search)).toBe(path('work', 'loader'));
  });

  it.each(['./loader', 'bin/loader', join(tmpdir(), 'none', 'loader')])(
    'is never looked up in PATH if it has a folder: %s',
    (name) => {
      expect(programPath(name, path('work'), search)).toBe(join(name.startsWith(tmpdir()) ? '' : path('work'), name));
    },
  );

  it('is named by its path in the folder if it is not found', () => {
    expect(programPath('none', path('work'), search)).toBe(path('work', 'none'));
  });
});
