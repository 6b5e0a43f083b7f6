// Removes the declarations from tsc that the package's exports don't need.
import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Relative imports of a declaration, in all forms that tsc writes. */
const IMPORT = /(?:from |import\()["'](\.[^"']+)["']/g;

/** @param {string} root the folder of package.json */
export function pruneTypes(root) {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const wanted = new Set();
  const want = (path) => {
    if (wanted.has(path)) return;
    wanted.add(path);
    for (const [, to] of readFileSync(path, 'utf8').matchAll(IMPORT)) want(`${join(dirname(path), to)}.d.ts`);
  };
  for (const { types } of Object.values(exports)) if (types !== undefined) want(join(root, types));

  const dist = join(root, 'dist');
  for (const name of readdirSync(dist, { recursive: true })) {
    const path = join(dist, name);
    if (name.endsWith('.d.ts') && !wanted.has(path)) rmSync(path);
  }
  removeEmptyFolders(dist);
}

function removeEmptyFolders(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyFolders(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}
