/**
 * The file system that the layers of a container image make, one on top of the other (OCI image specification, layer.md). It is a
 * tree in memory and never touches the disk, so that a path of a hostile layer can lead nowhere else.
 */
import { IgvmError } from '../../errors/igvm-error';

/** What a name stands for. Hard links are several names for one. */
export interface Inode {
  type: 'file' | 'directory' | 'link';
  /** Permission bits, with set-user-ID and the like. */
  permissions: number;
  owner: number;
  group: number;
  /** Seconds since 1970; what doesn't fit into 32 bits is cut to what does. */
  time: number;
  /** Bytes of a file. */
  size: number;
  /** Where a file's bytes begin among those that were unpacked. */
  offset?: number;
  /** What a link points to. */
  target?: string;
}

interface Node {
  inode: Inode;
  /** Of a folder. */
  children?: Map<string, Node>;
  /** The number of the last layer that has this path, or something below it. */
  layer: number;
  /** The number of the layer that everything in this folder is from. */
  only?: number;
}

/** An entry of the finished tree. */
export interface TreeEntry {
  /** Without a leading slash. */
  path: string;
  inode: Inode;
}

/** As Linux counts (MAXSYMLINKS). */
const MOST_LINKS = 40;

/** What an image may ask for. */
interface Limits {
  /** Entries of all layers. Large images have some hundred thousand; each takes about 300 bytes of memory. */
  entries: number;
  /** Names and links that are followed to find the places of all entries: several times what an image with so many entries needs. */
  steps: number;
}

const LIMITS: Limits = { entries: 1_000_000, steps: 2 ** 26 };

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

const implicitFolder = (): Inode => ({ type: 'directory', permissions: 0o755, owner: 0, group: 0, time: 0, size: 0 });

/** Layers are added in their order, each entry in the order of its layer. Errors have no place: whoever reads the layer knows it. */
export class LayerTree {
  private readonly root: Node = { inode: implicitFolder(), children: new Map(), layer: 0 };
  private layer = 0;
  private entries = 0;
  private steps = 0;

  constructor(private readonly limits: Limits = LIMITS) {}

  /** What follows is from the next layer. */
  nextLayer(): void {
    this.layer++;
  }

  /**
   * Adds an entry, or takes away what a whiteout names.
   * @param name as the layer has it
   * @throws IgvmError CONTAINER_LAYER for a path that leads out of the image or nowhere, and for too many entries
   */
  add(name: string, inode: Inode): void {
    this.count();
    const parts = partsOf(name);
    const last = parts.pop();
    if (last === undefined) {
      if (inode.type !== 'directory') refuse(name, 'is the root of the image, and no folder');
      this.root.inode = inode;
      return;
    }
    if (last === OPAQUE) {
      const folder = this.find(parts, name);
      if (folder !== undefined) this.keepOnlyNew(folder);
      return;
    }
    // Names of aufs, which kept its own data in layers.
    if (last.startsWith(`${WHITEOUT}${WHITEOUT}`)) return;
    if (last.startsWith(WHITEOUT)) {
      const hidden = last.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..') refuse(name, 'is a whiteout of nothing');
      this.find(parts, name)?.children?.delete(hidden);
      return;
    }
    this.put(this.folder(parts, name), last, inode);
  }

  /**
   * Adds a further name for a file that is there.
   * @param target the file's path from the root of the image
   * @throws IgvmError CONTAINER_LAYER as {@link add}, and for a target that isn't there or is a folder
   */
  addHardLink(name: string, target: string): void {
    this.count();
    const parts = partsOf(name);
    const last = parts.pop();
    if (last === undefined || last.startsWith(WHITEOUT)) return refuse(name, 'is no name for a hard link');
    const way = partsOf(target, name);
    const file = way.pop();
    const found = file === undefined ? undefined : this.find(way, name)?.children?.get(file);
    if (found === undefined) return refuse(name, `is a hard link to "${shortened(target)}", which is not in the image`);
    if (found.children !== undefined) refuse(name, `is a hard link to "${shortened(target)}", a folder`);
    this.put(this.folder(parts, name), last, found.inode);
  }

  /** What a path leads to, all links followed within the image; undefined when there is nothing. */
  lookUp(path: string): Inode | undefined {
    return this.resolve(path.split('/'), MOST_LINKS)?.inode;
  }

  /** Every entry but the root, a folder before what is in it. */
  *all(): Generator<TreeEntry> {
    yield* below(this.root, '');
  }

  private count(): void {
    if (++this.entries <= this.limits.entries) return;
    throw new IgvmError('CONTAINER_LAYER', `the layers have more than ${this.limits.entries} entries`);
  }

  private put(folder: Node, name: string, inode: Inode): void {
    const children = folder.children!;
    const present = children.get(name);
    if (inode.type !== 'directory') {
      children.set(name, { inode, layer: this.layer });
    } else if (present?.children !== undefined) {
      present.inode = inode;
      present.layer = this.layer;
    } else {
      children.set(name, { inode, children: new Map(), layer: this.layer, only: this.layer });
    }
  }

  /** The folder that an entry is put into. Folders that are missing are made, and links followed: container runtimes do the same. */
  private folder(parts: readonly string[], name: string): Node {
    let at = this.root;
    const way = [this.root];
    let rest = [...parts].reverse();
    let links = 0;
    while (rest.length > 0) {
      this.step(name);
      const part = rest.pop()!;
      if (part === '..') {
        if (way.length > 1) way.pop();
        at = way.at(-1)!;
        continue;
      }
      let next = at.children!.get(part);
      if (next === undefined) {
        next = { inode: implicitFolder(), children: new Map(), layer: this.layer, only: this.layer };
        at.children!.set(part, next);
      }
      if (next.inode.type === 'link') {
        if (++links > MOST_LINKS) refuse(name, 'lies behind links that lead around in a circle, or too many of them');
        const target = next.inode.target ?? '';
        if (target.startsWith('/')) way.length = 1;
        at = way.at(-1)!;
        rest = [...rest, ...linkParts(target).reverse()];
        continue;
      }
      if (next.children === undefined) refuse(name, `lies below "${shortened(part)}", which is no folder`);
      next.layer = this.layer;
      way.push(next);
      at = next;
    }
    return at;
  }

  /** The folder at a path, or undefined when there is none. */
  private find(parts: readonly string[], name: string): Node | undefined {
    this.step(name, parts.length);
    const found = this.resolve(parts, MOST_LINKS);
    return found?.children === undefined ? undefined : found;
  }

  private resolve(parts: readonly string[], most: number): Node | undefined {
    const way = [this.root];
    let rest = [...parts].reverse();
    let links = 0;
    while (rest.length > 0) {
      this.steps++;
      const part = rest.pop()!;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        if (way.length > 1) way.pop();
        continue;
      }
      const next = way.at(-1)!.children?.get(part);
      if (next === undefined) return undefined;
      if (next.inode.type === 'link') {
        if (++links > most) return undefined;
        const target = next.inode.target ?? '';
        if (target.startsWith('/')) way.length = 1;
        rest = [...rest, ...linkParts(target).reverse()];
        continue;
      }
      way.push(next);
    }
    return way.at(-1);
  }

  private step(name: string, count = 1): void {
    this.steps += count;
    if (this.steps > this.limits.steps)
      refuse(name, 'is behind too many folders and links, as many others of the image');
  }

  /**
   * Takes everything out of a folder that isn't from this layer. A folder of which that is known is not looked through again, so
   * that however many of these there are, each entry is looked at once.
   */
  private keepOnlyNew(folder: Node): void {
    const todo = [folder];
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      if (at.only === this.layer) continue;
      at.only = this.layer;
      for (const [name, child] of at.children!) {
        if (child.layer !== this.layer) at.children!.delete(name);
        else if (child.children !== undefined) todo.push(child);
      }
    }
  }
}

/** A link's target in steps, which may go up. */
const linkParts = (target: string): string[] => target.split('/').filter((part) => part !== '' && part !== '.');

/**
 * A path of a layer in steps.
 * @param name the entry that it belongs to
 * @throws IgvmError CONTAINER_LAYER for one that is absolute or goes up
 */
function partsOf(path: string, name: string = path): string[] {
  const what = path === name ? '' : `is a link to "${shortened(path)}", which `;
  if (path.startsWith('/'))
    refuse(name, `${what}begins with "/": paths of a layer are relative to the root of the image`);
  // The reader of archives puts this in the place of bytes that are not UTF-8: two names would become one.
  if (path.includes('\ufffd')) refuse(name, `${what}is not UTF-8`);
  if (path.includes('\0')) refuse(name, `${what}has a NUL in it`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse(name, `${what}leads out of the image or around in it with ".."`);
  return parts;
}

function* below(folder: Node, prefix: string): Generator<TreeEntry> {
  for (const [name, { inode, children }] of folder.children!) {
    const path = prefix + name;
    yield { path, inode };
    if (children !== undefined) yield* below({ inode, children, layer: 0 }, `${path}/`);
  }
}

function refuse(name: string, what: string): never {
  throw new IgvmError('CONTAINER_LAYER', `"${shortened(name)}" ${what}`);
}

/** For messages. */
export const shortened = (text: string): string =>
  text.length <= 100 ? text : `${text.slice(0, 60)}…${text.slice(-30)}`;
