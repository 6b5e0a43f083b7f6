import { cleanEnvironment, runOk } from './harness/run';
import { Registry } from './harness/registry';
import { NX_ENVIRONMENT } from './harness/template';
import { Workspace } from './harness/workspace';

interface Migrations {
  migrations: { package: string; name: string; version: string }[];
}

/** Older than every migration. */
const OLDER = '0.0.1';

/** A boot that waits for output. Only the first of the two lacks what the migration adds. */
const BOOTS = {
  smoke: { executor: 'nx-igvm:boot', options: { image: 'dist/guest/guest.igvm', until: '^ready$' } },
  decided: { executor: 'nx-igvm:boot', options: { image: 'dist/guest/guest.igvm', until: 'x' }, continuous: true },
};

describe('nx migrate', () => {
  let registry: Registry;
  let workspace: Workspace;
  beforeAll(async () => {
    registry = await Registry.start(OLDER);
    // Without it, Nx would first install its newest version, and run the nx migrate of that.
    const env = { ...registry.env, NX_MIGRATE_USE_LOCAL: 'true', NX_MIGRATE_SKIP_INSTALL: 'true' };
    workspace = await Workspace.create({ env });
    await install(`nx-igvm@${OLDER}`);
    workspace.writeJson('guest/project.json', { name: 'guest', targets: BOOTS });
    await workspace.commit('with the older plugin');
  });
  afterAll(async () => {
    workspace?.dispose();
    await registry?.stop();
  });

  const install = (...names: string[]): Promise<string> =>
    runOk('npm', ['install', '--save-dev', '--save-exact', ...names], {
      cwd: workspace.root,
      env: { ...cleanEnvironment(), ...NX_ENVIRONMENT, ...registry.env },
    });
  const installed = (): string => workspace.readJson<{ version: string }>('node_modules/nx-igvm/package.json').version;
  const wanted = (): string =>
    workspace.readJson<{ devDependencies: Record<string, string> }>('package.json').devDependencies[
      'nx-igvm'
    ] as string;

  it('finds the migrations of a newer version, and asks for that version', async () => {
    expect([installed(), wanted()]).toEqual([OLDER, OLDER]);
    await workspace.nxOk('migrate', `nx-igvm@${registry.newest}`);
    expect(wanted()).toBe(registry.newest);
    expect(workspace.readJson<Migrations>('migrations.json').migrations).toContainEqual(
      expect.objectContaining({ package: 'nx-igvm', name: 'separate-boot-tests', version: '0.1.0' }),
    );
  });

  it('runs them with the newer version: a boot that waits for output runs by itself', async () => {
    await install();
    expect(installed()).toBe(registry.newest);
    await workspace.nxOk('migrate', '--run-migrations');
    expect(workspace.readJson<{ targets: object }>('guest/project.json').targets).toEqual({
      ...BOOTS,
      smoke: { ...BOOTS.smoke, continuous: false, cache: false },
    });
  });

  it('changes nothing when they run again', async () => {
    await workspace.commit('migrated');
    await workspace.nxOk('migrate', '--run-migrations');
    expect(await workspace.git('status', '--porcelain')).toBe('');
  });
});
