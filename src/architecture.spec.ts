import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

const ROOT = join(__dirname, '..');

/** The house as docs/architecture.md draws it: the folders (and files) of src, a row of the table each, top to bottom. */
const ROWS: string[][] = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `src/'))
  .map((line) => Array.from((line.split('|')[1] ?? '').matchAll(/`src\/([^`/]+)\/?`/g), ([, name]) => name as string));

const isTest = (file: string): boolean => /\.(spec|fixture)\.ts$/.test(file);

const SOURCES = readdirSync(__dirname, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts') && !isTest(file));

/** The part of the house that a file is in: its folder below src, or itself. */
const partOf = (file: string): string => file.split('/')[0] as string;

const rowOf = (part: string): number => ROWS.findIndex((names) => names.includes(part));

/** The files of src that a file imports, as types too, at once or later. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(__dirname, file), 'utf8');
  return Array.from(text.matchAll(/(?:from|import\(|require\()\s*'(\.[^']+)'/g), ([, path]) => {
    const target = posix.join(dirname(file), path as string);
    return SOURCES.includes(`${target}.ts`) ? `${target}.ts` : target;
  }).filter((target) => !target.startsWith('../'));
}

describe('the table of docs/architecture.md', () => {
  it('has a row for each folder and file of src, and no other', () => {
    const there = new Set(
      readdirSync(__dirname, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() || !isTest(entry.name))
        .map(({ name }) => name),
    );
    expect(ROWS.flat().sort()).toEqual([...there].sort());
  });

  it('has imports going downwards only', () => {
    const upwards = SOURCES.flatMap((file) =>
      importsOf(file)
        .filter((target) => partOf(target) !== partOf(file) && rowOf(partOf(target)) <= rowOf(partOf(file)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(upwards).toEqual([]);
  });

  it('is read with imports to check', () => {
    expect(ROWS.length).toBeGreaterThan(20);
    expect(SOURCES.flatMap(importsOf).length).toBeGreaterThan(1000);
  });
});
