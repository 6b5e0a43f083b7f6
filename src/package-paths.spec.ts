import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');
const read = (file: string): Json => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Json;
type Json = { [key: string]: Json } | string;

/** All strings below a value that are paths in this package. */
function pathsIn(value: Json): string[] {
  if (typeof value === 'string') return value.startsWith('./') ? [value] : [];
  return Object.values(value ?? {}).flatMap(pathsIn);
}

/** The possible sources of a path in dist. Nx accepts `PATH#EXPORT` for one function of a module. */
function sources(pathAndExport: string): string[] {
  const path = pathAndExport.replace(/#.*$/, '');
  if (!path.startsWith('./dist/')) return [path];
  const source = path.replace('./dist/', './src/');
  return [source, source.replace(/(?:\.d\.ts|\.js|\.browser\.mjs)?$/, '.ts')];
}

describe.each(['executors.json', 'generators.json', 'migrations.json', 'package.json'])('%s', (file) => {
  it('names only files that exist', () => {
    const missing = pathsIn(read(file))
      .filter((path) => !path.includes('*'))
      .filter((path) => !sources(path).some((source) => existsSync(join(ROOT, source))));
    expect(missing).toEqual([]);
  });

  it('names only functions that their modules export', () => {
    const missing = pathsIn(read(file)).filter((path) => {
      const [, name] = /#(\w+)$/.exec(path) ?? [];
      if (name === undefined) return false;
      const source = sources(path).find((each) => existsSync(join(ROOT, each)));
      return !new RegExp(`^export (?:async )?function ${name}\\b|^export const ${name}\\b`, 'm').test(
        source === undefined ? '' : readFileSync(join(ROOT, source), 'utf8'),
      );
    });
    expect(missing).toEqual([]);
  });
});

describe.each(['executors.json', 'generators.json'])('schemas of %s', (file) => {
  const entries = Object.values(read(file)).flatMap((group) =>
    typeof group === 'string' ? [] : Object.entries(group),
  );

  it.each(entries)('%s has a description, examples, and a description of every option', (_, entry) => {
    const path = (entry as { schema: string }).schema.replace('./dist/', './src/');
    const schema = read(path) as { description?: string; examples?: Json; properties: Record<string, Json> };
    expect(schema.description).toMatch(/\w/);
    expect(Object.keys(schema.examples ?? {}).length).toBeGreaterThan(0);
    const undescribed = Object.entries(schema.properties).filter(
      ([, option]) => typeof option === 'string' || !option['description'],
    );
    expect(undescribed.map(([name]) => name)).toEqual([]);
  });

  it('have a default for every prompt, or the prompt says what no answer means', () => {
    for (const [name, entry] of entries) {
      const schema = read((entry as { schema: string }).schema.replace('./dist/', './src/')) as {
        properties: Record<string, { 'x-prompt'?: Json; default?: Json }>;
      };
      const saysNone = (prompt: Json): boolean => JSON.stringify(prompt).includes('(Enter for ');
      const without = Object.entries(schema.properties).filter(
        ([, { 'x-prompt': prompt, default: value }]) =>
          prompt !== undefined && value === undefined && !saysNone(prompt),
      );
      expect([name, without.map(([option]) => option)]).toEqual([name, []]);
    }
  });
});
