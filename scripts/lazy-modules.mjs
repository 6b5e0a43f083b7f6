// The modules of src that are required where they are used, `require('…') as typeof import('…')`, with what loading each costs:
// scripts/lazy-modules.json. One that costs less than a millisecond by itself, and no other place needs late, is imported as usual.
//   node scripts/lazy-modules.mjs           what has changed in the list
//   node scripts/lazy-modules.mjs --write   measures the modules of dist (after npm run build), and writes the list
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LIST = join(root, 'scripts', 'lazy-modules.json');
const RUNS = 3;

/** Modules by their paths in src, each with the files that require it late. */
export function lazyModules() {
  const found = {};
  const files = readdirSync(join(root, 'src'), { recursive: true }).map((path) => path.replaceAll('\\', '/'));
  for (const file of files.filter((path) => path.endsWith('.ts') && !/\.(spec|fixture|d)\.ts$|\/files\//.test(path))) {
    const text = readFileSync(join(root, 'src', file), 'utf8');
    for (const [, target] of text.matchAll(/require\('(\.[^']+)'\) as typeof/g)) {
      const users = (found[posix.join(posix.dirname(file), target)] ??= new Set());
      users.add(file);
    }
  }
  return Object.fromEntries(
    Object.entries(found)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([module, users]) => [module, [...users]]),
  );
}

/** Milliseconds that a module takes to load when the errors are there already, as they always are: the best of some runs. */
function measure(module) {
  const script = `require('./dist/errors/printable.js');const start=performance.now();require('./dist/${module}.js');console.log(performance.now()-start)`;
  const times = Array.from({ length: RUNS }, () =>
    Number(execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' })),
  );
  return Number(Math.min(...times).toFixed(1));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const modules = lazyModules();
  if (process.argv.includes('--write')) {
    const rows = Object.entries(modules).map(([module, users]) => [module, { milliseconds: measure(module), users }]);
    writeFileSync(LIST, `${JSON.stringify(Object.fromEntries(rows), undefined, 2)}\n`);
  } else {
    const listed = JSON.parse(readFileSync(LIST, 'utf8'));
    const changes = [
      ...Object.keys(modules).filter((module) => !(module in listed)),
      ...Object.keys(listed).filter((module) => !(module in modules)),
    ];
    console.log(changes.length === 0 ? 'the list is complete' : changes.join('\n'));
    process.exitCode = changes.length === 0 ? 0 : 1;
  }
}
