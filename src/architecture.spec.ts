import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

const ROOT = join(__dirname, '..');

/** The table in docs/architecture.md: paths of folders and files in src, in rows from top to bottom. */
const ROWS: string[][] = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `src/'))
  .map((line) => Array.from((line.split('|')[1] ?? '').matchAll(/`src\/([^`]+?)\/?`/g), ([, name]) => name as string));

const isTest = (file: string): boolean => /\.(spec|fixture)\.ts$/.test(file);

const TYPESCRIPT = readdirSync(__dirname, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'));

const SOURCES = TYPESCRIPT.filter((file) => !isTest(file));

/** The entry of the table for a file: the file itself, or the innermost folder. */
const partOf = (file: string): string | undefined =>
  ROWS.flat()
    .filter((part) => file === part || file.startsWith(`${part}/`))
    .sort((a, b) => b.length - a.length)[0];

const rowOf = (file: string): number => ROWS.findIndex((names) => names.includes(partOf(file) ?? ''));

/** The files of src that a file imports, including types and late requires. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(__dirname, file), 'utf8');
  return Array.from(text.matchAll(/(?:from|import\(|require\()\s*'(\.[^']+)'/g), ([, path]) => {
    const target = posix.join(dirname(file), path as string);
    return SOURCES.includes(`${target}.ts`) ? `${target}.ts` : target;
  }).filter((target) => !target.startsWith('../'));
}

describe('the table of docs/architecture.md', () => {
  it('covers each file of src, and has no unused entries', () => {
    expect(SOURCES.filter((file) => partOf(file) === undefined)).toEqual([]);
    const used = new Set(TYPESCRIPT.map(partOf));
    expect(ROWS.flat().filter((part) => !used.has(part))).toEqual([]);
  });

  it('orders the folders so that imports point downwards', () => {
    const upwards = SOURCES.flatMap((file) =>
      importsOf(file)
        .filter((target) => partOf(target) !== partOf(file) && rowOf(target) <= rowOf(file))
        .map((target) => `${file} imports ${target}`),
    );
    expect(upwards).toEqual([]);
  });

  it('has rows and imports to check', () => {
    expect(ROWS.length).toBeGreaterThan(20);
    expect(SOURCES.flatMap(importsOf).length).toBeGreaterThan(1000);
  });
});

describe('modules that are required where they are used', () => {
  const script = 'scripts/lazy-modules.mjs';

  it('are exactly those in scripts/lazy-modules.json, with their users', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [script], { cwd: ROOT, encoding: 'utf8' });
    expect([stdout + stderr, status]).toEqual(['the list is complete\n', 0]);
  });

  it('have a measured cost in the list', () => {
    const list = JSON.parse(readFileSync(join(ROOT, script.replace('.mjs', '.json')), 'utf8')) as {
      [module: string]: { milliseconds: number };
    };
    expect(Object.keys(list).length).toBeGreaterThan(50);
    expect(Object.entries(list).filter(([, { milliseconds }]) => !(milliseconds >= 0))).toEqual([]);
  });

  it('are written in the one form from which the list is generated', () => {
    const other = /(?:[=(?:>]|\breturn)\s*(require\((?!'[^']+'\)\s+as\s+typeof\b).*)/g;
    const places = SOURCES.flatMap((file) =>
      Array.from(readFileSync(join(__dirname, file), 'utf8').matchAll(other), ([, text]) => `${file}: ${text}`),
    );
    expect(places.filter((place) => !/require\('[^']+\.json'\)/.test(place))).toEqual([]);
  });
});
