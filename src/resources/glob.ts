import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join, parse, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { errnoOf } from '../files/file-failure';

/**
 * Patterns of resources. They come from manifests, and so from anyone who can open a pull request. A library that expands braces or
 * converts a pattern to a regular expression needs gigabytes or hours for some patterns of 30 characters. Here, the time for a name is
 * at most proportional to its length times the pattern's, and a walk through folders has a limit.
 *
 * `*` and `?` match characters within a name, `[a-z]` and `[!a-z]` match one of several, `{a,b}` matches either text, and `**` as a
 * whole step of a path matches any number of folders. A backslash escapes the next character.
 */
type Part =
  | { kind: 'text'; text: string }
  | { kind: 'any' }
  | { kind: 'star' }
  | { kind: 'class'; negated: boolean; ranges: [from: string, to: string][] }
  | { kind: 'either'; branches: Part[][] };

type Step = Part[] | '**';

/** The most characters of a pattern. */
const LENGTH_LIMIT = 1024;
/** The most folders in the path of an output. */
const PATH_DEPTH_LIMIT = 256;
/** The deepest nesting of braces. */
const DEPTH_LIMIT = 8;
/** The most names that a walk may read: about a second. */
const WALK_LIMIT = 200_000;
/** The most comparisons of a character with a part of the pattern in one walk: about a second. */
const WORK_LIMIT = 100_000_000;

const refused = (message: string) => new IgvmError('RESOURCE_PATH', message);

/** Index of the end of the bracket at `start`; -1 if the bracket is an ordinary character. */
function endOfClass(text: string, start: number): number {
  let at = start + 1;
  if (text[at] === '!' || text[at] === '^') at++;
  // A closing bracket at the beginning is one of the characters.
  for (let first = true; at < text.length; at++, first = false) {
    if (text[at] === '\\') at++;
    else if (text[at] === ']' && !first) return at;
  }
  return -1;
}

function parseClass(text: string, start: number, end: number): Part {
  const negated = text[start + 1] === '!' || text[start + 1] === '^';
  const body = text.slice(start + (negated ? 2 : 1), end);
  if (body.includes('[:')) throw refused(`"[${body}]" in a pattern is not supported: write the characters out`);
  const characters = [...body.matchAll(/\\?(.)/gsu)].map(([whole, character]) => ({
    character: character!,
    dash: whole === '-',
  }));
  const ranges: [string, string][] = [];
  for (let at = 0; at < characters.length; at++) {
    const from = characters[at]!.character;
    const to = characters[at + 1]?.dash === true ? characters[at + 2]?.character : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) at += 2;
  }
  return { kind: 'class', negated, ranges };
}

/** The closing brace for the one at `start`, and the commas between them; undefined if the brace is an ordinary character. */
function findBraces(text: string, start: number): { end: number; commas: number[] } | undefined {
  const commas: number[] = [];
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === '{') depth++;
    else if (character === '}') depth--;
    else if (character === ',' && depth === 1) commas.push(at);
    if (depth === 0) return { end: at, commas };
  }
  return undefined;
}

function parseEither(text: string, start: number, end: number, commas: readonly number[], depth: number): Part {
  const edges = [start, ...commas, end];
  const branches = edges.slice(1).map((edge, index) => parseParts(text.slice(edges[index]! + 1, edge), depth + 1));
  return { kind: 'either', branches };
}

function parseParts(text: string, depth = 0): Part[] {
  if (depth > DEPTH_LIMIT) throw refused(`a pattern has braces that are nested deeper than ${DEPTH_LIMIT} levels`);
  const parts: Part[] = [];
  let literal = '';
  const push = (part: Part) => {
    if (literal !== '') parts.push({ kind: 'text', text: literal });
    literal = '';
    parts.push(part);
  };
  // The search for unclosed brackets and braces is done once. Otherwise the time would be quadratic in their number.
  let [openClass, openBrace] = [true, true];
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (/[@!+*?]/.test(character) && text[at + 1] === '(') {
      throw refused(`"${character}(" in a pattern is not supported: write {a,b} for "a or b", \\( for a parenthesis`);
    }
    if (character === '\\' && at + 1 < text.length) {
      literal += text[++at];
    } else if (character === '*') {
      if (parts.at(-1)?.kind !== 'star' || literal !== '') push({ kind: 'star' });
    } else if (character === '?') {
      push({ kind: 'any' });
    } else if (character === '[' && openClass) {
      const end = endOfClass(text, at);
      openClass = end !== -1;
      if (openClass) push(parseClass(text, at, end));
      else literal += character;
      at = openClass ? end : at;
    } else if (character === '{' && openBrace) {
      const braces = findBraces(text, at);
      openBrace = braces !== undefined;
      const inside = braces && text.slice(at + 1, braces.end);
      if (inside !== undefined && /^[^\\]+\.\.[^\\]+$/.test(inside) && braces!.commas.length === 0) {
        throw refused(`the range {${inside.slice(0, 40)}} in a pattern is not supported: write [0-9], or {a,b}`);
      }
      if (braces !== undefined && braces.commas.length > 0) {
        push(parseEither(text, at, braces.end, braces.commas, depth));
        at = braces.end;
      } else {
        literal += character;
      }
    } else {
      literal += character;
    }
  }
  if (literal !== '') parts.push({ kind: 'text', text: literal });
  return parts;
}

/** The steps of a pattern, and the folder before the first step that is not a plain name. */
function parsePattern(pattern: string): { folder: string; steps: Step[] } {
  if (pattern.length > LENGTH_LIMIT) throw refused(`a pattern has at most ${LENGTH_LIMIT} characters`);
  checkBraces(pattern);
  const steps = pattern.split('/').map((text): Step => (text === '**' ? '**' : parseParts(text)));
  const first = steps.findIndex((step) => step === '**' || step.some(({ kind }) => kind !== 'text'));
  // A pattern without special characters, such as `a{b}`, is the name of a file.
  const start = first === -1 ? steps.length - 1 : first;
  const folder = (steps.slice(0, start) as Part[][]).map(
    (parts) => `${parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')}/`,
  );
  const rest = steps.slice(start);
  return {
    folder: folder.join(''),
    steps: rest.filter((step, index) => (step === '**' ? rest[index - 1] !== '**' : step.length > 0)),
  };
}

/** With slashes in alternatives, paths could have different depths. */
function checkBraces(pattern: string): void {
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++;
    if (pattern[at] !== '{') continue;
    const braces = findBraces(pattern, at);
    if (braces !== undefined && braces.commas.length > 0 && pattern.slice(at, braces.end).includes('/')) {
      throw refused('a slash in the braces of a pattern is not supported');
    }
  }
}

/** The indices in a name at which a part can end that begins at one of the given indices. `work` counts the comparisons. */
function advance(part: Part, name: readonly string[], places: Uint8Array, work: { done: number }): Uint8Array {
  const next = new Uint8Array(places.length);
  work.done += places.length;
  switch (part.kind) {
    case 'text': {
      const text = Array.from(part.text);
      for (let at = 0; at + text.length <= name.length; at++) {
        if (places[at] !== 1) continue;
        work.done += text.length;
        if (text.every((character, index) => name[at + index] === character)) next[at + text.length] = 1;
      }
      return next;
    }
    case 'any':
      next.set(places.subarray(0, name.length), 1);
      return next;
    case 'star': {
      const first = places.indexOf(1);
      return first === -1 ? next : next.fill(1, first);
    }
    case 'class':
      for (const [at, character] of name.entries()) {
        if (places[at] !== 1) continue;
        work.done += part.ranges.length;
        const listed = part.ranges.some(([from, to]) => from <= character && character <= to);
        if (listed !== part.negated) next[at + 1] = 1;
      }
      return next;
    case 'either':
      for (const branch of part.branches) {
        for (const [at, here] of advanceAll(branch, name, places, work).entries()) if (here === 1) next[at] = 1;
      }
      return next;
  }
}

function advanceAll(parts: readonly Part[], name: readonly string[], places: Uint8Array, work: { done: number }) {
  let reached = places;
  for (const part of parts) reached = advance(part, name, reached, work);
  return reached;
}

function matchesName(parts: readonly Part[], name: string, work: { done: number }): boolean {
  const characters = Array.from(name);
  const start = new Uint8Array(characters.length + 1);
  start[0] = 1;
  return advanceAll(parts, characters, start, work)[characters.length] === 1;
}

/** The kind of an entry of a folder; for a link, the kind of its target. */
function kindOf(entry: Dirent, path: string): 'file' | 'folder' | 'other' {
  let type: Pick<Dirent, 'isFile' | 'isDirectory'> = entry;
  if (entry.isSymbolicLink()) {
    const target = statSync(path, { throwIfNoEntry: false });
    if (target === undefined) return 'other';
    type = target;
  }
  return type.isFile() ? 'file' : type.isDirectory() ? 'folder' : 'other';
}

class Walk {
  readonly found = new Set<string>();
  private readonly work = { done: 0 };
  private names = 0;
  private readonly visited = new Set<string>();

  constructor(private readonly steps: readonly Step[]) {}

  /** @param index the step that names in this folder have to match */
  visit(folder: string, index: number): void {
    const step = this.steps[index];
    // With several `**`, a folder can be reached in many ways.
    const visit = `${index} ${folder}`;
    if (step === undefined || this.visited.has(visit)) return;
    this.visited.add(visit);
    const last = index === this.steps.length - 1;
    if (step === '**' && !last) this.visit(folder, index + 1);
    for (const entry of this.list(folder)) {
      const path = join(folder, entry.name);
      if (step === '**') {
        // `**` doesn't follow links, which may form a loop.
        if (entry.isDirectory()) this.visit(path, index);
        else if (last && this.kind(entry, path) === 'file') this.found.add(path);
      } else if (matchesName(step, entry.name, this.work)) {
        const kind = this.kind(entry, path);
        if (last && kind === 'file') this.found.add(path);
        else if (!last && kind === 'folder') this.visit(path, index + 1);
      }
      if (this.work.done > WORK_LIMIT) throw refused('the pattern is too complex for the names in its folders');
    }
  }

  private list(folder: string): Dirent[] {
    let entries: Dirent[];
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch (cause) {
      const code = errnoOf(cause);
      if (code === 'ENOENT' || code === 'ENOTDIR') return [];
      throw new IgvmError('FILE_UNREADABLE', `${folder} cannot be searched (${code})`, {}, { cause });
    }
    this.names += entries.length;
    if (this.names > WALK_LIMIT) {
      throw refused(
        `the pattern would have to search more than ${WALK_LIMIT} names: begin it with a more specific folder`,
      );
    }
    return entries;
  }

  private kind(entry: Dirent, path: string): 'file' | 'folder' | 'other' {
    try {
      return kindOf(entry, path);
    } catch {
      return 'other';
    }
  }
}

/**
 * Absolute paths of the files that a resource's pattern matches, sorted. Links are treated as their targets, but `**` doesn't enter
 * folders through them.
 * @param cwd absolute path of the folder that a relative pattern starts from
 * @throws IgvmError without a place: RESOURCE_PATH for a pattern that isn't supported, begins at the root of the file
 * system, or would take too long; FILE_UNREADABLE for a folder that may not be searched
 */
export function matchGlob(pattern: string, cwd: string): string[] {
  const { folder, steps } = parsePattern(pattern);
  const start = resolve(cwd, folder);
  if (steps.length > 0 && start === parse(start).root) {
    throw refused('a pattern cannot search the whole file system: begin it with a folder');
  }
  const walk = new Walk(steps);
  walk.visit(start, 0);
  return [...walk.found].sort();
}

/**
 * Whether a pattern matches a path or one of its folders, without looking at any file. Both are relative, with `/`.
 * @throws IgvmError RESOURCE_PATH for a pattern that isn't supported
 */
export function globCovers(pattern: string, path: string): boolean {
  const { folder, steps } = parsePattern(pattern);
  const before: Step[] = folder
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .map((text) => [{ kind: 'text', text }]);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length > PATH_DEPTH_LIMIT || names.some((name) => name.length > LENGTH_LIMIT)) return false;
  const work = { done: 0 };
  // The numbers of names that the steps so far can match.
  let reached = new Set([0]);
  for (const step of [...before, ...steps]) {
    const next = new Set<number>();
    if (step === '**' && reached.size > 0) {
      for (let count = Math.min(...reached); count <= names.length; count++) next.add(count);
    }
    for (const count of reached) {
      if (step !== '**' && count < names.length && matchesName(step, names[count]!, work)) next.add(count + 1);
    }
    reached = next;
  }
  return reached.size > 0;
}
