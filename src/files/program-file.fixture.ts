/** Replaces program-file.ts under jest (jest.config.js): it compiles programs and threads from TypeScript. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { transformSync } from '@swc/core';

const SOURCE = resolve(__dirname, '..');

/** A module and all of our modules that it imports, compiled, by their paths in src without extension. */
function compiled(path: string, found = new Map<string, string>()): Map<string, string> {
  if (found.has(path)) return found;
  const { code } = transformSync(readFileSync(join(SOURCE, `${path}.ts`), 'utf8'), {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  });
  found.set(path, code);
  for (const [, imported] of code.matchAll(/require\("(\.[^"]+)"\)/g)) {
    compiled(join(dirname(path), imported!), found);
  }
  return found;
}

/** Writes modules, with all of our modules that they import, into a folder like src. @param paths in src, without extension */
export function compileTo(folder: string, paths: readonly string[]): void {
  for (const [path, code] of paths.reduce((found, each) => compiled(each, found), new Map<string, string>())) {
    const file = join(folder, `${path}.js`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, code);
  }
}

const known = new Map<string, string>();

/** Like the function in program-file.ts. A program is compiled once for all tests with the same source. */
export function programFile(folder: string, name: string): string {
  const path = relative(SOURCE, join(folder, name));
  const found = known.get(path) ?? compiledFolder(path);
  known.set(path, found);
  return join(found, `${path}.js`);
}

function compiledFolder(path: string): string {
  const modules = [...compiled(path)];
  const digest = createHash('sha256').update(JSON.stringify(modules)).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `nx-igvm-compiled-${digest}`);
  if (existsSync(folder)) return folder;
  const temporary = mkdtempSync(`${folder}-`);
  compileTo(temporary, [path]);
  try {
    renameSync(temporary, folder);
  } catch {
    // Another process was faster.
    rmSync(temporary, { recursive: true });
  }
  return folder;
}
