import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { addProjectConfiguration, readProjectConfiguration, type TargetConfiguration, type Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { applyMigrations, type MigrationEntry } from './apply-migrations.fixture';
import separateBootTests from './boot-tests';

const boot = (options: object, more: Partial<TargetConfiguration> = {}): TargetConfiguration => ({
  executor: 'nx-igvm:boot',
  options: { image: 'dist/guest/guest.igvm', ...options },
  ...more,
});

async function migrated(targets: Record<string, TargetConfiguration>): Promise<Record<string, TargetConfiguration>> {
  const tree: Tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  addProjectConfiguration(tree, 'guest', { root: 'guest', targets });
  const { generators } = JSON.parse(readFileSync(join(__dirname, '../../migrations.json'), 'utf8')) as {
    generators: Record<string, MigrationEntry>;
  };
  const ran = await applyMigrations(tree, generators, () => separateBootTests, '0.0.0');
  expect(ran).toContain('separate-boot-tests');
  return readProjectConfiguration(tree, 'guest').targets ?? {};
}

describe('the migration of boot targets that wait for output', () => {
  it('gives each a run of its own', async () => {
    const { smoke } = await migrated({ smoke: boot({ until: '^ready$' }) });
    expect(smoke).toEqual({ ...boot({ until: '^ready$' }), continuous: false, cache: false });
  });

  it('leaves other targets alone', async () => {
    const targets = {
      boot: boot({}),
      decided: boot({ until: 'x' }, { continuous: true }),
      other: { executor: 'nx:run-commands', options: { until: 'x', commands: ['true'] } },
    };
    expect(await migrated(targets)).toEqual(targets);
  });
});
