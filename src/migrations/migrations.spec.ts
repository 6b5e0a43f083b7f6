import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { updateJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { applyMigrations, compareVersions, type Migration, type MigrationEntry } from './apply-migrations.fixture';

const ROOT = join(__dirname, '..', '..');
const read = <T>(file: string): T => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as T;
const source = (implementation: string): string => join(ROOT, implementation.replace('./dist/', 'src/'));

describe('the migrations of this package', () => {
  const { generators } = read<{ generators: Record<string, MigrationEntry> }>('migrations.json');
  const { version } = read<{ version: string }>('package.json');

  it('are found by nx migrate', () => {
    const manifest = read<Record<string, { migrations?: string }>>('package.json');
    expect(manifest['nx-migrations']?.migrations).toBe('./migrations.json');
  });

  it('are for versions up to this one, and have a description and a spec', () => {
    for (const [name, entry] of Object.entries(generators)) {
      expect([name, compareVersions(entry.version, version) <= 0]).toEqual([name, true]);
      expect([name, entry.description]).toEqual([name, expect.stringMatching(/\w/)]);
      expect([name, existsSync(`${source(entry.implementation)}.spec.ts`)]).toEqual([name, true]);
    }
  });

  it('leave a workspace without images alone', async () => {
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    const before = tree.listChanges().length;
    const load = (entry: MigrationEntry): Migration => {
      return (require(source(entry.implementation)) as { default: Migration }).default;
    };
    await applyMigrations(tree, generators, load, '0.0.0');
    expect(tree.listChanges()).toHaveLength(before);
  });
});

describe('applying migrations', () => {
  const entry = (version: string): MigrationEntry => ({ version, description: version, implementation: version });
  const log: Migration = (tree) => updateJson(tree, 'nx.json', (json) => ({ ...json, migrated: true }));

  it('runs those above the version that a workspace comes from, in the order of versions', async () => {
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    const entries = { b: entry('0.10.0'), a: entry('0.9.0'), old: entry('0.2.0'), same: entry('0.3.0-beta.1') };
    expect(await applyMigrations(tree, entries, () => log, '0.3.0')).toEqual(['a', 'b']);
  });

  it('fails for one that is not idempotent', async () => {
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    let runs = 0;
    const counting: Migration = (target) => target.write('runs', String(++runs));
    await expect(applyMigrations(tree, { counting: entry('1.0.0') }, () => counting, '0.0.0')).rejects.toThrow(
      'the migration counting changes something again',
    );
  });
});
