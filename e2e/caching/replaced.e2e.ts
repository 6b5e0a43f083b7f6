import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changed } from '../harness/inputs';
import { NX_VERSIONS } from '../harness/template';
import { touch, Workspace } from '../harness/workspace';
import { bytesOf, imageWith, manifestOf } from './images';

/** Of which Nx: all, or the one that NX_IGVM_NX_MAJOR says. */
const MAJORS = Object.entries(NX_VERSIONS).filter(([major]) => (process.env['NX_IGVM_NX_MAJOR'] ?? major) === major);

const KERNEL = bytesOf('linux_kernel');
const VERSIONS = [bytesOf('linux_initrd'), changed(bytesOf('linux_initrd'))] as const;
const IMAGE = 'dist/vm/vm.igvm';

type Ending = 'hits' | 'built each time' | 'refused';

/** Lists that users write, and how builds end then. All of them are for the target `build`. */
const LISTS: readonly [what: string, lists: object, ending: Ending][] = [
  [
    'what create-nx-workspace wrote',
    { cache: true, dependsOn: ['^build'], inputs: ['production', '^production'] },
    'hits',
  ],
  ['a wider output', { outputs: ['{options.outputPath}'] }, 'hits'],
  ['another output', { outputs: ['{projectRoot}/lib'] }, 'built each time'],
  ['another output, cached', { cache: true, outputs: ['{projectRoot}/lib'] }, 'built each time'],
  ['inputs without a name', { inputs: ['{projectRoot}/**/*'] }, 'built each time'],
  ['inputs without a name, cached', { cache: true, inputs: ['{projectRoot}/**/*'] }, 'refused'],
  ['no cache', { cache: false }, 'built each time'],
];

describe.each(MAJORS)('lists that replace inferred ones, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  const counts = { stale: [] as string[], needless: [] as string[], other: [] as string[] };
  const namedInputs = { default: ['{projectRoot}/**/*'], production: ['default', '!{projectRoot}/**/*.spec.ts'] };

  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    workspace.write('shared/kernel', KERNEL);
    const { guest } = imageWith('linux_initrd');
    const resources = { linux_kernel: '../shared/kernel', linux_initrd: '../shared/initrd' };
    workspace.writeJson('vm/igvm.json', manifestOf(guest, resources));
  });
  afterAll(() => workspace.dispose());

  /** Builds both versions of the image twice, each time on a clean checkout. */
  async function tryLists(what: string, ending: Ending): Promise<void> {
    const built: Buffer[] = [];
    for (const [index, initrd] of VERSIONS.entries()) {
      workspace.write('shared/initrd', initrd);
      touch(workspace.path('shared/initrd'));
      for (const again of [false, true]) {
        rmSync(workspace.path('dist'), { recursive: true, force: true });
        const { status, output } = await workspace.nx('run', 'vm:build', '--outputStyle=static');
        const where = `${what}, version ${index}${again ? ', again' : ''}`;
        if (ending === 'refused' ? !output.includes('[NX_KEY_REPLACED]') : status !== 0) counts.other.push(where);
        if (status !== 0) continue;
        const image = workspace.read(IMAGE);
        const isHit = output.includes('[local cache]');
        if (again ? !image.equals(built[index]!) : built.some((other) => other.equals(image))) counts.stale.push(where);
        if (again && !isHit && ending === 'hits') counts.needless.push(where);
        built[index] = image;
      }
    }
  }

  const configure = (targetDefaults: object, files: Record<string, object> = {}): void => {
    for (const file of ['vm/project.json', 'vm/package.json']) rmSync(workspace.path(file), { force: true });
    workspace.writeJson('nx.json', { plugins: ['nx-igvm'], neverConnectToCloud: true, namedInputs, targetDefaults });
    for (const [file, json] of Object.entries(files)) workspace.writeJson(file, json);
  };

  it.each(LISTS)(
    'in targetDefaults by name, pattern and executor, project.json and package.json: %s',
    async (what, lists, ending) => {
      configure({ build: lists });
      await tryLists(`${what}, by name`, ending);
      configure({ 'nx-igvm:build': lists });
      await tryLists(`${what}, by executor`, ending);
      configure({}, { 'vm/project.json': { name: 'vm', targets: { build: lists } } });
      await tryLists(`${what}, project.json`, ending);
      configure({}, { 'vm/package.json': { name: 'vm', version: '0.0.0', nx: { targets: { build: lists } } } });
      await tryLists(`${what}, package.json`, ending);
      expect(counts).toEqual({ stale: [], needless: [], other: [] });
    },
  );

  it('in targetDefaults count for nothing after init', async () => {
    configure({ build: Object.assign({}, ...LISTS.map(([, lists]) => lists)) as object });
    await workspace.nxOk('g', 'nx-igvm:init');
    await tryLists('after init', 'hits');
    expect(counts).toEqual({ stale: [], needless: [], other: [] });
  });

  it('that drop the target that makes the kernel are refused, and run after init', async () => {
    const make = {
      command: 'mkdir -p gen && cp shared/kernel gen/kernel',
      cache: true,
      outputs: ['{workspaceRoot}/gen'],
    };
    configure({ build: { dependsOn: ['^build'] } }, { 'maker/project.json': { name: 'maker', targets: { make } } });
    const { guest } = imageWith('linux_initrd');
    const kernel = { project: 'maker', target: 'make', path: 'gen/kernel' };
    workspace.writeJson('vm/igvm.json', manifestOf(guest, { linux_kernel: kernel, linux_initrd: '../shared/initrd' }));
    const { status, output } = await workspace.nx('build', 'vm');
    expect(status).not.toBe(0);
    expect(output).toContain('[NX_KEY_REPLACED]');
    expect(output).toContain('maker:make would not run before');
    await workspace.nxOk('g', 'nx-igvm:init');
    expect(await workspace.state('vm')).toBe('built');
  });
});

/** Where a file that another target writes is found, and the command that writes it. `dependsOn` is the user's. */
const MADE: readonly [what: string, resource: string, link?: [path: string, target: string]][] = [
  ['a file', '../gen/initrd'],
  ['a pattern', '../gen/ini*'],
  ['a link', 'link', ['link', '../gen/initrd']],
  ['a link to a folder', 'folder/initrd', ['folder', '../gen']],
  ['a pattern behind a link', 'other/ini*', ['other', '../gen']],
];

describe.each(MAJORS)('what another target makes, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\ngen\n');
    workspace.write('shared/kernel', KERNEL);
    workspace.writeJson('vm/project.json', {
      name: 'vm',
      targets: {
        make: {
          command: 'mkdir -p gen && cp vm/src/initrd gen/initrd',
          cache: true,
          inputs: ['{projectRoot}/src/**'],
          outputs: ['{workspaceRoot}/gen'],
        },
        build: { dependsOn: ['make'] },
      },
    });
  });
  afterAll(() => workspace.dispose());

  it.each(MADE)('is never an old one on a clean checkout: %s', async (_what, resource, link) => {
    if (link !== undefined) symlinkSync(link[1], workspace.path(`vm/${link[0]}`));
    const { guest } = imageWith('linux_initrd');
    workspace.writeJson(
      'vm/igvm.json',
      manifestOf(guest, { linux_kernel: '../shared/kernel', linux_initrd: resource }),
    );
    const images: Buffer[] = [];
    const states: string[] = [];
    for (const version of [0, 1, 0, 1]) {
      workspace.write('vm/src/initrd', VERSIONS[version]!);
      // Nx itself takes a file for the same that has the same size in the same second.
      touch(workspace.path('vm/src/initrd'));
      for (const folder of ['gen', 'dist']) rmSync(workspace.path(folder), { recursive: true, force: true });
      states.push(await workspace.state('vm'));
      images.push(workspace.read(IMAGE));
    }
    expect(states).toEqual(['built', 'built', 'hit', 'hit']);
    expect(images[2]).toEqual(images[0]);
    expect(images[3]).toEqual(images[1]);
    expect(images[1]).not.toEqual(images[0]);
  });
});

describe.each(MAJORS)('what was true when Nx’s daemon inferred it, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create({ nx, env: { NX_DAEMON: 'true' } });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\nignored\n');
    workspace.write('shared/kernel', KERNEL);
    workspace.writeJson('vm/project.json', { name: 'vm' });
    await workspace.commit('vm');
  });
  afterAll(async () => {
    await workspace.nx('daemon', '--stop');
    workspace.dispose();
  });

  it.each(['ignored', 'shared'])('and is not any more: files and folders in %s that become links', async (place) => {
    const file = `${place}/d/initrd`;
    const outside = (name: string): string => join(workspace.outside, `${place}-${name}`);
    const { guest } = imageWith('linux_initrd');
    const { manifest, steps } = {
      manifest: manifestOf(guest, { linux_kernel: '../shared/kernel', linux_initrd: `../${file}` }),
      steps: [
        ['a file', () => workspace.write(file, VERSIONS[0])],
        [
          'that becomes a link',
          () => {
            writeFileSync(outside('a'), VERSIONS[1]);
            rmSync(workspace.path(file));
            symlinkSync(outside('a'), workspace.path(file));
          },
        ],
        ['to other content', () => writeFileSync(outside('a'), VERSIONS[0].subarray(0, 0x1900))],
        [
          'that leads elsewhere',
          () => {
            writeFileSync(outside('b'), VERSIONS[0].subarray(0, 0x1a00));
            rmSync(workspace.path(file));
            symlinkSync(outside('b'), workspace.path(file));
          },
        ],
        [
          'in a folder that becomes a link',
          () => {
            workspace.write(`${place}/e/initrd`, VERSIONS[0].subarray(0, 0x1b00));
            rmSync(workspace.path(`${place}/d`), { recursive: true });
            symlinkSync('e', workspace.path(`${place}/d`));
          },
        ],
        ['of which the file changes', () => workspace.write(`${place}/e/initrd`, VERSIONS[0].subarray(0, 0x1c00))],
      ] as const,
    };
    workspace.writeJson('vm/igvm.json', manifest);
    const wrong: string[] = [];
    for (const [what, change] of steps) {
      change();
      if ((await workspace.state('vm')) !== 'built') wrong.push(`stale: ${what}`);
      if ((await workspace.state('vm')) !== 'hit') wrong.push(`needless: ${what}`);
    }
    expect(wrong).toEqual([]);
  });
});
