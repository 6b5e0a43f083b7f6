import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { checkNotInputs, createOutputSet, placeOf, textChunks } from './atomic-output';
import { processMark } from './process-folder';
import { claimTempPath, releaseTempPath } from './temp-file';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe('createOutputSet', () => {
  let folder: string;
  beforeEach(() => void (folder = fs.mkdtempSync(join(tmpdir(), 'output-set-'))));
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const names = (): string[] => fs.readdirSync(folder).sort();
  const content = (name: string): string => fs.readFileSync(path(name), 'utf8');

  it('shows no file under its name before the commit, and all files after it', async () => {
    const set = createOutputSet();
    await set.add(path('a.igvm')).writeAll(text('image'));
    await set.add(path('a.igvm.map')).writeAll(text('map'));
    expect(names().filter((name) => !name.endsWith('.nx-igvm-tmp'))).toEqual([]);
    await set.commit({ last: path('a.igvm') });
    expect(names()).toEqual(['a.igvm', 'a.igvm.map']);
    expect(content('a.igvm')).toBe('image');
  });

  it('writes at offsets in any order and reads the data back', async () => {
    const set = createOutputSet();
    const file = set.add(path('a'));
    await Promise.all([file.write(4, text('late')), file.write(0, text('soon'))]);
    const back = new Uint8Array(4);
    file.read(2, back);
    expect(back).toEqual(text('onla'));
    await set.commit();
    expect(content('a')).toBe('soonlate');
  });

  it('renames the last file after all others, and removes stale ones before it', async () => {
    for (const name of ['a.igvm', 'a.igvm.map', 'stale.json']) fs.writeFileSync(path(name), 'old');
    const set = createOutputSet();
    await set.add(path('a.igvm')).writeAll(text('new'));
    await set.add(path('a.igvm.map')).writeAll(text('new'));
    // Removing a folder just before the last rename simulates a crash between two renames.
    const last = path('gone/last');
    await set.add(last).writeAll(text('new'));
    const remove = (): string[] => {
      fs.rmSync(dirname(last), { recursive: true });
      return [path('stale.json'), path('a.igvm')];
    };
    await expect(set.commit({ last, remove })).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
    expect(names()).toEqual(['a.igvm', 'a.igvm.map']);
    expect(content('a.igvm')).toBe('new');
  });

  it('leaves old files unchanged, and no new ones, when it is aborted', async () => {
    fs.writeFileSync(path('a.igvm'), 'old');
    const set = createOutputSet();
    await set.add(path('a.igvm')).writeAll(text('new'));
    await set.add(path('deep/er/b')).writeAll(text('new'));
    await set.abort();
    expect(names()).toEqual(['a.igvm']);
    expect(content('a.igvm')).toBe('old');
  });

  it('removes the empty folders that it created, and keeps one with a file from another program', async () => {
    const set = createOutputSet();
    for (const name of ['one/deep/a', 'two/deep/b']) await set.add(path(name)).writeAll(text('new'));
    fs.writeFileSync(path('two/stranger'), '');
    await set.abort();
    expect(names()).toEqual(['two']);
    expect(fs.readdirSync(path('two'))).toEqual(['stranger']);
  });

  it('lets two builds of one image run at once, and the last one replaces all files', async () => {
    const sets = ['one', 'two'].map((value) => ({ value, set: createOutputSet() }));
    for (const { value, set } of sets) {
      for (const name of ['a.igvm', 'a.igvm.map']) await set.add(path(name)).writeAll(text(value));
    }
    await Promise.all(sets.map(({ set }) => set.commit({ last: path('a.igvm') })));
    expect(names()).toEqual(['a.igvm', 'a.igvm.map']);
    expect(['one', 'two']).toContain(content('a.igvm'));
    expect(content('a.igvm.map')).toBe(content('a.igvm'));
  });

  it('writes parts of any number and size completely', async () => {
    const set = createOutputSet();
    const file = set.add(path('a'));
    const parts = Array.from({ length: 700 }, (_, index) => new Uint8Array((index * 37) % 5000).fill(index));
    let offset = 0;
    for (const part of parts) {
      void file.write(offset, part);
      offset += part.length;
    }
    await set.commit();
    expect(Buffer.compare(fs.readFileSync(path('a')), Buffer.concat(parts))).toBe(0);
  });

  it('reports a failed write at the commit even when nobody awaited it', async () => {
    fs.writeFileSync(path('a'), 'old');
    const set = createOutputSet();
    const file = set.add(path('a'));
    file.write(Number.MAX_SAFE_INTEGER, text('too far')).catch(() => undefined);
    await expect(set.commit()).rejects.toMatchObject({ code: 'FILE_UNWRITABLE', where: { file: path('a') } });
    expect(names()).toEqual(['a']);
    expect(content('a')).toBe('old');
  });

  it('fails every write after a failed one', async () => {
    const set = createOutputSet();
    const file = set.add(path('a'));
    const failed = [Number.MAX_SAFE_INTEGER, 0, 0].map((offset) => file.write(offset, text('too far')));
    const ends = await Promise.allSettled([...failed, file.write(0, text('later'))]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected']);
    await expect(file.write(0, text('much later'))).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    await set.abort();
  });

  const inTheWay: [what: string, make: (at: string) => void][] = [
    ['a directory', (at) => fs.mkdirSync(at)],
    ['a symbolic link', (at) => fs.symlinkSync(path('elsewhere'), at)],
    ['a part of the path is not a directory', (at) => fs.writeFileSync(dirname(at), '')],
  ];
  it.each(inTheWay)('refuses a path where there is %s', (what, make) => {
    const at = what.startsWith('a part') ? path('file/output') : path('output');
    make(at);
    const set = createOutputSet();
    expect(() => set.add(at)).toThrow(expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: at } }));
    expect(() => set.add(at)).toThrow(what);
  });

  it('does not replace a directory that appeared while it was writing', async () => {
    const set = createOutputSet();
    await set.add(path('a')).writeAll(text('new'));
    await set.add(path('b')).writeAll(text('new'));
    fs.mkdirSync(path('b'));
    await expect(set.commit()).rejects.toThrow('it is a directory');
    expect(names()).toEqual(['b']);
  });

  it("clears a killed build's files but not those of a running one", async () => {
    const killedPid = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }));
    const own = claimTempPath(path('x.igvm'));
    releaseTempPath(own);
    const [place = '', , start = ''] = processMark().split('-');
    const nameOf = (...mark: (string | number)[]): string => basename(own).replace(processMark(), mark.join('-'));
    const killed = nameOf(place, killedPid, 1);
    // An earlier process with this one's ID, as in a restarted container.
    const earlier = nameOf(place, process.pid, 1);
    const running = nameOf(place, process.pid, start);
    const [recent, old] = [1, 2].map((pid) => nameOf('0123456789abcdef', pid, 1)) as [string, string];
    for (const name of [killed, earlier, running, recent, old, '.unrelated.nx-igvm-tmp']) {
      fs.writeFileSync(path(name), '');
    }
    fs.utimesSync(path(old), 0, 0);

    const atWork = createOutputSet();
    atWork.add(path('x.igvm'));
    const set = createOutputSet();
    await set.add(path('x.igvm')).writeAll(text('new'));
    await set.commit();
    await atWork.commit();
    const left = process.platform === 'linux' ? [running] : [running, earlier];
    expect(names()).toEqual(['.unrelated.nx-igvm-tmp', ...left, recent, 'x.igvm'].sort());
  });

  it.each([
    ['letters', 'n'.repeat(250) + '.igvm'],
    ['letters of two bytes', 'ü'.repeat(125) + '.igvm'],
    ['characters of four bytes', '😀'.repeat(62) + '.igvm'],
  ])('accepts names as long as the file system does, of %s', async (_, name) => {
    for (const content of ['first', 'again']) {
      const set = createOutputSet();
      await set.add(path(name)).writeAll(text(content));
      await set.commit({ last: path(name) });
    }
    expect(names()).toEqual([name]);
    expect(content(name)).toBe('again');
  });

  it('reports which name is too long, and leaves nothing behind', async () => {
    const set = createOutputSet();
    await set.add(path('n'.repeat(255))).writeAll(text('new'));
    const sibling = path(`${'n'.repeat(255)}.map`);
    expect(() => set.add(sibling)).toThrow(
      expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: sibling } }),
    );
    expect(() => set.add(sibling)).toThrow('the name is too long');
    await set.abort();
    expect(names()).toEqual([]);
  });
});

describe('an output', () => {
  let folder: string;
  let input: string;
  const at = (...path: string[]): string => join(folder, ...path);
  beforeEach(() => {
    folder = fs.mkdtempSync(join(tmpdir(), 'nx-igvm-inputs-'));
    fs.mkdirSync(at('in'));
    input = at('in', 'kernel');
    fs.writeFileSync(input, 'kernel');
    fs.symlinkSync('in', at('linked'));
  });
  afterEach(() => fs.rmSync(folder, { recursive: true }));

  const refusal = (output: string): Error =>
    expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: output } }) as Error;

  it('may be any file that is not an input', () => {
    fs.writeFileSync(at('other'), 'other');
    expect(() => checkNotInputs([at('other'), at('in', 'new'), at('new', 'folder', 'file')], [input])).not.toThrow();
  });

  it.each([
    ['by its name', () => at('in', '..', 'in', 'kernel')],
    ['below a link to its folder', () => at('linked', 'kernel')],
  ])('must not be an input %s', (_, name) => {
    expect(() => checkNotInputs([at('new'), name()], [input])).toThrow(refusal(name()));
  });

  it('must not be an input with two hard links, even through a symlink', () => {
    fs.linkSync(input, at('second'));
    expect(() => checkNotInputs([at('second')], [input])).not.toThrow();
    expect(() => checkNotInputs([at('linked', 'kernel')], [input])).toThrow(refusal(at('linked', 'kernel')));
  });

  it('must not be the target of an input that is a link', () => {
    fs.symlinkSync(input, at('current'));
    expect(() => checkNotInputs([input], [at('current')])).toThrow(refusal(input));
    expect(() => checkNotInputs([at('current')], [input])).not.toThrow();
  });

  it('must not be an input that does not exist yet', () => {
    fs.rmSync(input);
    expect(() => checkNotInputs([at('linked', 'kernel')], [input])).toThrow(refusal(at('linked', 'kernel')));
  });
});

describe('the resolved path of an output', () => {
  it('contains no links, whether it exists or not', () => {
    const folder = fs.mkdtempSync(join(tmpdir(), 'nx-igvm-place-'));
    fs.mkdirSync(join(folder, 'a'));
    fs.symlinkSync('a', join(folder, 'b'));
    expect(placeOf(join(folder, 'b', 'c', 'd'))).toBe(placeOf(join(folder, 'a', 'c', 'd')));
    fs.rmSync(folder, { recursive: true });
  });
});

/** The number of characters in a chunk. */
const CHUNK = 2 ** 16;

describe('textChunks', () => {
  const lengths = (pieces: string[]): number[] => [...textChunks(pieces)].map(({ length }) => length);

  it('yields few chunks for many pieces, with the same text', () => {
    const pieces = Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`);
    const chunks = [...textChunks(pieces)];
    expect(chunks.join('')).toBe(pieces.join(''));
    expect(chunks).toHaveLength(Math.ceil(pieces.join('').length / CHUNK));
  });

  it('fills a chunk before it yields it', () => {
    expect(lengths(['x'.repeat(CHUNK - 1), 'y', 'z'])).toEqual([CHUNK, 1]);
    expect(lengths(['x'.repeat(3 * CHUNK)])).toEqual([3 * CHUNK]);
  });

  it('yields no chunk without text', () => {
    expect(lengths([])).toEqual([]);
    expect(lengths(['', ''])).toEqual([]);
    expect(lengths(['x'.repeat(CHUNK)])).toEqual([CHUNK]);
  });
});
