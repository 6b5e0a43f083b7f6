import { resolve } from 'node:path';
import { shownPath } from './file-failure';

describe('a path in a message', () => {
  const folder = resolve('/srv');

  it('is relative to the folder that contains it', () => {
    expect(shownPath(folder, resolve('/srv/images/igvm.json'))).toBe('images/igvm.json');
    expect(shownPath(folder, 'images/igvm.json')).toBe('images/igvm.json');
    expect(shownPath(folder, resolve('/srv/..data/kernel'))).toBe('..data/kernel');
  });

  it('stays unchanged outside the folder', () => {
    const outside = resolve('/boot/vmlinuz');
    expect(shownPath(folder, outside)).toBe(outside);
    expect(shownPath(folder, folder)).toBe(folder);
    expect(shownPath(folder, '../kernel')).toBe('../kernel');
  });
});
