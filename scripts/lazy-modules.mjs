// The modules and packages that src loads where they are used, `require('…') as typeof import('…')`, with the cost of loading each:
// scripts/lazy-modules.json. One that costs less than a millisecond is imported as usual, with two exceptions: subcommands, because a
// process runs only one, and the table of error codes, which only failures need.
//   node scripts/lazy-modules.mjs           lists the changes; the exit code is 1 if there are any
//   node scripts/lazy-modules.mjs --write   writes the list, and measures what is new in it in dist (after npm run build)
//   node scripts/lazy-modules.mjs --measure the same, and measures everything again
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LIST = join(root, 'scripts', 'lazy-modules.json');
const RUNS = 3;

/** Modules by path in src, and packages by name, each with the files that load it late. */
export function lazyModules() {
  const found = {};
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted((a, b) => (a < b ? -1 : 1));
  for (const file of files.filter((path) => path.endsWith('.ts') && !/\.(spec|fixture|d)\.ts$|\/files\//.test(path))) {
    const text = readFileSync(join(root, 'src', file), 'utf8');
    for (const [, target] of text.matchAll(/\brequire\('([^']+)'\)\s+as\s+typeof\b/g)) {
      const module = target.startsWith('.') ? posix.join(posix.dirname(file), target) : target;
      const users = (found[module] ??= new Set());
      users.add(file);
    }
  }
  return Object.fromEntries(
    Object.entries(found)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([module, users]) => [module, { users: [...users] }]),
  );
}

/** Whether it is a module of src and not a package. */
export const isOwn = (module) => existsSync(join(root, 'src', `${module}.ts`));

/** Milliseconds to load one after the errors, which are always loaded: the best of some runs. */
function measure(module) {
  const path = isOwn(module) ? `./dist/${module}.js` : module;
  const script = `require('./dist/chunks/errors.js');const start=performance.now();require('${path}');console.log(performance.now()-start)`;
  const times = Array.from({ length: RUNS }, () =>
    Number(execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' })),
  );
  return Number(Math.min(...times).toFixed(1));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const modules = lazyModules();
  const listed = JSON.parse(readFileSync(LIST, 'utf8'));
  const measuresAll = process.argv.includes('--measure');
  if (measuresAll || process.argv.includes('--write')) {
    const rows = Object.entries(modules).map(([module, { users }]) => {
      const known = measuresAll ? undefined : listed[module]?.milliseconds;
      return [module, { milliseconds: known ?? measure(module), users }];
    });
    writeFileSync(LIST, `${JSON.stringify(Object.fromEntries(rows), undefined, 2)}\n`);
    const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');
    execFileSync(process.execPath, [biome, 'format', '--write', '--log-level=error', LIST], { cwd: root });
  } else {
    const usersOf = (list) =>
      Object.entries(list).flatMap(([module, { users }]) => users.map((user) => `${module}, in ${user}`));
    const [now, before] = [usersOf(modules), usersOf(listed)];
    const changes = [
      ...now.filter((place) => !before.includes(place)).map((place) => `not in the list: ${place}`),
      ...before.filter((place) => !now.includes(place)).map((place) => `no longer there: ${place}`),
    ];
    const cure = 'npm run build && node scripts/lazy-modules.mjs --write';
    console.log(
      changes.length === 0 ? 'the list is complete' : [...changes, `${cure} brings it up to date`].join('\n'),
    );
    process.exitCode = changes.length === 0 ? 0 : 1;
  }
}
