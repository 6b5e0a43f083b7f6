/**
 * The file system that results from the layers of a container image (OCI image specification, layer.md). It is a tree in memory and
 * never touches the disk, so no path in a hostile layer can lead out of it.
 */
import { IgvmError } from '../../errors/igvm-error';
import { shortened } from '../cpio-newc';

/** A file, folder or link. Hard links are several names of one inode. */
export interface Inode {
  type: 'file' | 'directory' | 'link';
  /** Permission bits, with set-user-ID and the like. */
  permissions: number;
  owner: number;
  group: number;
  /** Seconds since 1970, limited to 32 bits. */
  time: number;
  /** Bytes of a file's content or of a link's target. */
  size: number;
  /** The offset of a file's content among the unpacked bytes. */
  offset?: number;
  /** The target of a link. */
  target?: string;
}

interface Node {
  inode: Inode;
  /** The contents of a folder. */
  children?: Map<string, Node>;
  /** The number of the last layer that has this path, or something below it. */
  layer: number;
  /** The number of the layer from which everything in this folder is, if that is known. */
  only?: number;
}

/** An entry of the finished tree. */
export interface TreeEntry {
  /** Without a leading slash. */
  path: string;
  inode: Inode;
}

/** The most links to follow in a path, as in Linux (MAXSYMLINKS). */
const MOST_LINKS = 40;

/** Limits for an image. */
interface Limits {
  /** Entries of all layers. Large images have a few hundred thousand. Each takes about 300 bytes of memory. */
  entries: number;
  /** Steps through names and links to the places of all entries: several times as many as an image with so many entries needs. */
  steps: number;
}

const LIMITS: Limits = { entries: 1_000_000, steps: 2 ** 26 };

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

const implicitFolder = (): Inode => ({ type: 'directory', permissions: 0o755, owner: 0, group: 0, time: 0, size: 0 });

/** Receives layers and their entries in order. Errors have no place: the caller adds that of the layer. */
export class LayerTree {
  private readonly root: Node = { inode: implicitFolder(), children: new Map(), layer: 0 };
  private layer = 0;
  private entries = 0;
  private steps = 0;

  constructor(private readonly limits: Limits = LIMITS) {}

  /** Begins the next layer. */
  nextLayer(): void {
    this.layer++;
  }

  /**
   * Adds an entry, or removes the one that a whiteout names.
   * @param name its path, as in the layer
   * @throws IgvmError CONTAINER_LAYER for an invalid path, and for too many entries
   */
  add(name: string, inode: Inode): void {
    this.count();
    const parts = partsOf(name);
    const last = parts.pop();
    if (last === undefined) {
      if (inode.type !== 'directory') refuse(name, 'is the root of the image, which must be a folder');
      this.root.inode = inode;
      return;
    }
    if (last === OPAQUE) {
      const folder = this.find(parts, name);
      if (folder !== undefined) this.keepOnlyNew(folder);
      return;
    }
    // These names are from aufs, which stored its own data in layers.
    if (last.startsWith(`${WHITEOUT}${WHITEOUT}`)) return;
    if (last.startsWith(WHITEOUT)) {
      const hidden = last.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..') refuse(name, 'is a whiteout without a valid name');
      this.find(parts, name)?.children?.delete(hidden);
      return;
    }
    this.put(this.folder(parts, name), last, inode);
  }

  /**
   * Adds another name for an existing file.
   * @param target the file's path from the root of the image
   * @throws IgvmError CONTAINER_LAYER as {@link add}, and for a target that doesn't exist or is a folder
   */
  addHardLink(name: string, target: string): void {
    this.count();
    const parts = partsOf(name);
    const last = parts.pop();
    if (last === undefined || last.startsWith(WHITEOUT)) return refuse(name, 'is not a valid name for a hard link');
    const way = partsOf(target, name);
    const file = way.pop();
    const found = file === undefined ? undefined : this.find(way, name)?.children?.get(file);
    if (found === undefined) return refuse(name, `is a hard link to "${shortened(target)}", which is not in the image`);
    if (found.children !== undefined) refuse(name, `is a hard link to "${shortened(target)}", which is a folder`);
    this.put(this.folder(parts, name), last, found.inode);
  }

  /** The inode at a path, with links followed within the image; undefined if there is none. */
  lookUp(path: string): Inode | undefined {
    return this.resolve(path.split('/'), MOST_LINKS)?.inode;
  }

  /** All entries except the root, each folder before its contents. */
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

  /** The folder for an entry. Missing folders are created, and links are followed, as by container runtimes. */
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
        if (++links > MOST_LINKS) refuse(name, 'is behind links that form a circle, or behind too many links');
        const target = next.inode.target ?? '';
        if (target.startsWith('/')) way.length = 1;
        at = way.at(-1)!;
        rest = [...rest, ...linkParts(target).reverse()];
        continue;
      }
      if (next.children === undefined) refuse(name, `lies below "${shortened(part)}", which is not a folder`);
      next.layer = this.layer;
      way.push(next);
      at = next;
    }
    return at;
  }

  /** The folder at a path; undefined if there is none. */
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
      refuse(name, 'takes too many steps through folders and links, together with the other entries of the image');
  }

  /**
   * Removes everything from a folder that isn't from this layer. A folder that is known to have nothing else is not searched again. So
   * each entry is visited once, however many opaque folders a layer has.
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

/** The steps of a link's target, which may include `..`. */
const linkParts = (target: string): string[] => target.split('/').filter((part) => part !== '' && part !== '.');

/**
 * The steps of a path in a layer.
 * @param name the name of the entry with this path
 * @throws IgvmError CONTAINER_LAYER for a path that is absolute or has `..` in it
 */
function partsOf(path: string, name: string = path): string[] {
  const what = path === name ? '' : `is a link to "${shortened(path)}", which `;
  if (path.startsWith('/'))
    refuse(name, `${what}begins with "/": paths in a layer are relative to the root of the image`);
  // The archive reader replaces bytes that are not UTF-8 with this character, so two names could become one.
  if (path.includes('\ufffd')) refuse(name, `${what}is not UTF-8`);
  if (path.includes('\0')) refuse(name, `${what}has a NUL character in it`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse(name, `${what}has ".." in it, which could lead out of the image`);
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
