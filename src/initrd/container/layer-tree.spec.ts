import { IgvmError } from '../../errors/igvm-error';
import { type Inode, LayerTree } from './layer-tree';

const inode = (more: Partial<Inode>): Inode => ({
  type: 'file',
  permissions: 0o644,
  owner: 0,
  group: 0,
  time: 0,
  size: 0,
  ...more,
});
const file = (size: number): Inode => inode({ size });
const folder = (permissions = 0o755): Inode => inode({ type: 'directory', permissions });
const link = (target: string): Inode => inode({ type: 'link', target });

/** Applies layers. Each is a list of names with inodes; a text is the target of a hard link. */
function treeOf(...layers: [name: string, what: Inode | string][][]): LayerTree {
  const tree = new LayerTree();
  for (const layer of layers) {
    tree.nextLayer();
    for (const [name, what] of layer) {
      if (typeof what === 'string') tree.addHardLink(name, what);
      else tree.add(name, what);
    }
  }
  return tree;
}
/** Paths, each with the size of a file, the target of a link, or `/` for a folder. */
const shownOf = (tree: LayerTree): Record<string, string | number> =>
  Object.fromEntries(
    [...tree.all()].map(({ path, inode: { type, size, target } }) => [
      path,
      type === 'file' ? size : type === 'link' ? `-> ${target}` : '/',
    ]),
  );

const failureOf = (...layers: Parameters<typeof treeOf>): string => {
  try {
    treeOf(...layers);
  } catch (error) {
    if (error instanceof IgvmError && error.code === 'CONTAINER_LAYER') return error.message;
    throw error;
  }
  return 'nothing was thrown';
};

describe('LayerTree', () => {
  it('puts layers one on top of the other', () => {
    const tree = treeOf(
      [
        ['./', folder()],
        ['./etc/', folder()],
        ['./etc/a', file(1)],
        ['etc/b', file(2)],
      ],
      [
        ['etc/b', file(3)],
        ['opt/c', file(4)],
      ],
    );
    expect(shownOf(tree)).toEqual({ etc: '/', 'etc/a': 1, 'etc/b': 3, opt: '/', 'opt/c': 4 });
  });

  it('changes the permissions of a folder and keeps its contents', () => {
    const tree = treeOf([['tmp/a', file(1)]], [['tmp', folder(0o1777)]]);
    expect(shownOf(tree)).toEqual({ tmp: '/', 'tmp/a': 1 });
    expect(tree.lookUp('/tmp')?.permissions).toBe(0o1777);
  });

  it('replaces a folder by a file, and a link by a folder', () => {
    const tree = treeOf(
      [
        ['a/b/c', file(1)],
        ['d', link('a')],
      ],
      [
        ['a', file(2)],
        ['d/', folder()],
        ['d/e', file(3)],
      ],
    );
    expect(shownOf(tree)).toEqual({ a: 2, d: '/', 'd/e': 3 });
  });

  it('removes what a whiteout names, and nothing with a similar name', () => {
    const lower: [string, Inode][] = [
      ['a/b/c', file(1)],
      ['a/bc', file(2)],
      ['x', file(3)],
    ];
    const tree = treeOf(lower, [
      ['a/.wh.b', file(0)],
      ['.wh.x', file(0)],
      ['.wh.never', file(0)],
      ['none/.wh.y', file(0)],
    ]);
    expect(shownOf(tree)).toEqual({ a: '/', 'a/bc': 2 });
  });

  it.each([
    ['before', ['.wh..wh..opq', 'new', 'sub/new']],
    ['after', ['new', 'sub/new', '.wh..wh..opq']],
    ['between', ['new', '.wh..wh..opq', 'sub/new']],
  ])('hides the earlier contents of an opaque folder, whose marker comes %s the new contents', (_, names) => {
    const lower: [string, Inode][] = [
      ['a/old', file(1)],
      ['a/sub/old', file(2)],
      ['a/gone/old', file(3)],
      ['b', file(4)],
    ];
    const tree = treeOf(
      lower,
      names.map((name): [string, Inode] => [`a/${name}`, file(name.startsWith('.wh') ? 0 : 5)]),
    );
    expect(shownOf(tree)).toEqual({ a: '/', 'a/new': 5, 'a/sub': '/', 'a/sub/new': 5, b: 4 });
  });

  it('leaves out the data of aufs', () => {
    expect(
      shownOf(
        treeOf([
          ['.wh..wh.plnk/1', file(1)],
          ['.wh..wh.aufs', file(0)],
          ['a', file(1)],
        ]),
      ),
    ).toMatchObject({
      a: 1,
    });
  });

  it('keeps hard links until a later layer replaces one of the names', () => {
    const tree = treeOf(
      [
        ['a', file(1)],
        ['b', 'a'],
        ['c', './b'],
      ],
      [['a', file(2)]],
    );
    const [a, b, c] = ['/a', '/b', '/c'].map((path) => tree.lookUp(path));
    expect(b).toBe(c);
    expect(a).not.toBe(b);
    expect([a?.size, b?.size]).toEqual([2, 1]);
  });

  it('follows links as in a container, which has nothing above its root', () => {
    const tree = treeOf(
      [
        ['usr/bin/sh', file(1)],
        ['bin', link('usr/bin')],
        ['up', link('../../../../usr')],
        ['root', link('/usr/bin')],
      ],
      [
        ['bin/a', file(2)],
        ['up/bin/b', file(3)],
        ['root/c', file(4)],
        ['root/.wh.sh', file(0)],
      ],
    );
    expect(shownOf(tree)).toEqual({
      usr: '/',
      'usr/bin': '/',
      'usr/bin/a': 2,
      'usr/bin/b': 3,
      'usr/bin/c': 4,
      bin: '-> usr/bin',
      up: '-> ../../../../usr',
      root: '-> /usr/bin',
    });
    expect(tree.lookUp('/bin/../bin/./a')?.size).toBe(2);
    expect(tree.lookUp('/bin/none')).toBeUndefined();
  });

  it('keeps names apart that differ only in case', () => {
    expect(
      shownOf(
        treeOf([
          ['a', file(1)],
          ['A', file(2)],
        ]),
      ),
    ).toEqual({ a: 1, A: 2 });
  });

  it.each([
    ['a path that begins with ".."', '../etc/passwd', /".."/],
    ['a path with ".." later', 'a/../../etc/passwd', /".."/],
    ['an absolute path', '/etc/passwd', /begins with "\/"/],
    ['a name that is not UTF-8', 'a\ufffd', /not UTF-8/],
    ['a name with a NUL character', 'a\0b', /NUL/],
    ['a whiteout without a name', 'a/.wh.', /whiteout without a valid name/],
    ['a whiteout of ".."', 'a/.wh...', /whiteout without a valid name/],
    ['a file as the root', '.', /root of the image/],
  ])('refuses %s', (_, name, message) => {
    expect(failureOf([[name, file(1)]])).toMatch(message);
  });

  it.each([
    ['that leads out of the image', '../../etc/shadow', /".."/],
    ['that is absolute', '/etc/shadow', /begins with "\/"/],
    ['to a file that does not exist', 'none', /not in the image/],
    ['to a folder', 'etc', /a folder/],
  ])('refuses a hard link %s', (_, target, message) => {
    expect(
      failureOf([
        ['etc/a', file(1)],
        ['b', target],
      ]),
    ).toMatch(message);
  });

  it.each([
    ['a link to itself', [['a', link('a')]] as [string, Inode][]],
    [
      'two links to each other',
      [
        ['a', link('b')],
        ['b', link('a')],
      ] as [string, Inode][],
    ],
  ])('refuses a path through %s', (_, links) => {
    expect(failureOf([...links, ['a/file', file(1)]])).toMatch(/circle/);
  });

  it('refuses a path below a file', () => {
    expect(
      failureOf([
        ['a', file(1)],
        ['a/b', file(1)],
      ]),
    ).toMatch(/not a folder/);
  });

  it('limits the number of entries, including those that replace others', () => {
    const tree = new LayerTree({ entries: 3, steps: 100 });
    for (let count = 0; count < 3; count++) tree.add('a', file(1));
    expect(() => tree.add('a', file(1))).toThrow(/more than 3 entries/);
  });

  it('limits the links that are followed for all entries', () => {
    const tree = new LayerTree({ entries: 100, steps: 1000 });
    tree.add('aaa', folder());
    tree.add('l', link(`${'aaa/../'.repeat(200)}aaa`));
    const more = (): void => {
      for (let count = 0; count < 10; count++) tree.add('l/f', file(1));
    };
    expect(more).toThrow(/too many steps through folders and links/);
  });
});
