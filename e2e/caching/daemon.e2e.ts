import { writeFileSync } from 'node:fs';
import { changed } from '../harness/inputs';
import { touch, Workspace } from '../harness/workspace';
import { bytesOf, imageWith, manifestOf } from './images';
import { LOCATIONS, type Location, type LocationName, MAKER } from './locations';

/** With Nx's daemon, which watches files instead of reading them again. */
describe('caching with the daemon', () => {
  let workspace: Workspace;
  const locations = new Map<string, Location>();
  const bytes = bytesOf('linux_initrd');
  const PLACES: LocationName[] = [
    'tracked',
    'ignored',
    'outside',
    'output',
    'link to a file',
    'link to a folder',
    'glob',
  ];
  const tasks = (): string[] => [...locations.keys()].map((project) => `${project}:build`);
  const states = async (): Promise<string[]> => [...new Set((await workspace.states(tasks())).values())];

  beforeAll(async () => {
    workspace = await Workspace.create({ env: { NX_DAEMON: 'true' } });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\nignored\n');
    workspace.write('shared/linux_kernel', bytesOf('linux_kernel'));
    workspace.writeJson(`${MAKER}/project.json`, { name: MAKER, targets: {} });
    PLACES.forEach((where, index) => {
      const project = `image-${index}`;
      const root = `images/${project}`;
      workspace.writeJson(`${root}/project.json`, { name: project, targets: {} });
      const location = LOCATIONS[where](workspace, root, project);
      location.put(bytes);
      workspace.writeJson(
        `${root}/igvm.json`,
        manifestOf(imageWith('linux_initrd').guest, {
          linux_kernel: '{workspaceRoot}/shared/linux_kernel',
          linux_initrd: location.resource,
        }),
      );
      locations.set(project, location);
    });
    await workspace.commit('images');
  });
  afterAll(async () => {
    await workspace.nx('daemon', '--stop');
    workspace.dispose();
  });

  it('has a running daemon', async () => {
    expect(await states()).toEqual(['built']);
    expect(await workspace.nxOk('daemon')).toMatch(/Nx Daemon is (currently )?running/i);
  });

  it('hits when nothing or only the time changed', async () => {
    expect(await states()).toEqual(['hit']);
    for (const location of locations.values()) touch(location.file());
    expect(await states()).toEqual(['hit']);
  });

  it('rebuilds at once when content changed', async () => {
    for (const location of locations.values()) location.put(changed(bytes));
    expect(await states()).toEqual(['built']);
  });

  it('follows a manifest to another file', async () => {
    writeFileSync(workspace.path('images/image-0/other.bin'), changed(changed(bytes).subarray(0, 0x1900)));
    workspace.updateJson<{ resources: Record<string, unknown> }>('images/image-0/igvm.json', (manifest) => {
      manifest.resources['linux_initrd'] = 'other.bin';
    });
    expect(await workspace.state('image-0')).toBe('built');
    workspace.write('images/image-0/other.bin', bytes.subarray(0, 0x1a00));
    expect(await workspace.state('image-0')).toBe('built');
    expect(await workspace.state('image-0')).toBe('hit');
  });
});
