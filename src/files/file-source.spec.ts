import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileSource } from './file-source';

describe('openFileSource', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = fs.mkdtempSync(join(tmpdir(), 'file-source-'));
    path = join(folder, 'kernel');
    fs.writeFileSync(path, 'abcdef');
  });
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('reads any part of a file', () => {
    const source = openFileSource(path);
    const target = new Uint8Array(3);
    source.read(2, target);
    source.checkUnchanged();
    source.close();
    source.close();
    expect(source).toMatchObject({ size: 6, label: path });
    expect(Buffer.from(target).toString()).toBe('cde');
  });

  it.each([
    ['a missing file', 'nothing', 'no such file'],
    ['a directory', '', 'a directory'],
    ['a file below a file', 'kernel/x', 'not a directory'],
  ])('refuses %s', (_, name, reason) => {
    expect(() => openFileSource(join(folder, name))).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
    expect(() => openFileSource(join(folder, name))).toThrow(reason);
  });

  it('reads nothing from a closed file, because another file may have its descriptor', () => {
    const source = openFileSource(path);
    source.close();
    const other = fs.openSync(__filename, 'r');
    expect(() => source.read(0, new Uint8Array(5))).toThrow(/was read after it was closed/);
    expect(() => source.checkUnchanged()).toThrow(/was read after it was closed/);
    fs.closeSync(other);
  });

  it('refuses a device without waiting for it', () => {
    if (process.platform === 'win32') return;
    expect(() => openFileSource('/dev/null')).toThrow('not a regular file');
  });

  const changes: [how: string, change: () => void][] = [
    ['became shorter', () => fs.truncateSync(path, 3)],
    ['grew', () => fs.appendFileSync(path, 'g')],
    ['was written to', () => fs.utimesSync(path, 1, 1)],
  ];
  it.each(changes)('detects that the file %s', (how, change) => {
    const source = openFileSource(path);
    change();
    expect(() => source.checkUnchanged()).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }));
    expect(() => source.checkUnchanged()).toThrow(how);
    source.close();
  });

  it('fails to read past a new end', () => {
    const source = openFileSource(path);
    fs.truncateSync(path, 3);
    expect(() => source.read(0, new Uint8Array(6))).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }));
    source.close();
  });
});
