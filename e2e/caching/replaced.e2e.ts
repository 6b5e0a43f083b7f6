import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changed } from '../harness/inputs';
import { NX_VERSIONS } from '../harness/template';
import { type TaskState, taskState, touch, Workspace } from '../harness/workspace';
import { bytesOf, imageWith, manifestOf } from './images';

/** The versions of Nx: all, or the one in NX_IGVM_NX_MAJOR. */
const MAJORS = Object.entries(NX_VERSIONS).filter(([major]) => (process.env['NX_IGVM_NX_MAJOR'] ?? major) === major);

const KERNEL = bytesOf('linux_kernel');
const VERSIONS = [bytesOf('linux_initrd'), changed(bytesOf('linux_initrd'))] as const;
type Ending = 'hits' | 'built each time' | 'refused';

/** Lists that users write, and the result of builds with them. */
const LISTS: readonly [what: string, lists: object, ending: Ending][] = [
  [
    'the lists of create-nx-workspace',
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

/** A project with one image. The target that builds it has one of these lists. */
interface Row {
  /** Also its folder below `images/`. */
  project: string;
  target: string;
  what: string;
  lists: object;
  ending: Ending;
}

const rowsOf = (way: string, target: (index: number) => string): Row[] =>
  LISTS.map(([what, lists, ending], index) => ({
    project: `${way.replaceAll(/[^a-z]+/g, '-')}-${index}`,
    target: target(index),
    what: `${what}, ${way}`,
    lists,
    ending,
  }));

const BY_NAME = rowsOf('by name', (index) => `build-${index}`);
const PROJECT_JSON = rowsOf('project.json', () => 'build');
const PACKAGE_JSON = rowsOf('package.json', () => 'build');
/** An executor has one entry for all of its targets, so the lists are tested one after another with this project. */
const BY_EXECUTOR = LISTS.map(([what, lists, ending]): Row => {
  return { project: 'by-executor', target: 'build', what: `${what}, by executor`, lists, ending };
});

const taskOf = ({ project, target }: Row): string => `${project}:${target}`;
const imageOf = (project: string): string => `dist/images/${project}/${project}.igvm`;

/** The output of a task in Nx's log; some versions print it in more than one section. */
const outputOf = (output: string, task: string): string =>
  output
    .split('> nx run ')
    .filter((part) => part.split(/\s/, 1)[0] === task)
    .join('\n');

describe.each(MAJORS)('lists that replace inferred ones, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  const namedInputs = { default: ['{projectRoot}/**/*'], production: ['default', '!{projectRoot}/**/*.spec.ts'] };

  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    workspace.write('shared/kernel', KERNEL);
    // Targets in a package.json count only in a package of the workspace.
    workspace.updateJson<{ workspaces?: string[] }>('package.json', (json) => void (json.workspaces = ['images/*']));
  });
  afterAll(() => workspace.dispose());

  const addImage = (project: string): void => {
    const { guest } = imageWith('linux_initrd');
    const resources = { linux_kernel: '{workspaceRoot}/shared/kernel', linux_initrd: '{workspaceRoot}/shared/initrd' };
    workspace.writeJson(`images/${project}/igvm.json`, manifestOf(guest, resources));
  };
  const configure = (targetDefaults: object, plugins: unknown[] = ['nx-igvm']): void =>
    workspace.writeJson('nx.json', { plugins, neverConnectToCloud: true, namedInputs, targetDefaults });

  /** Builds both versions of all images twice, each time on a clean checkout, and lists the failures. */
  async function tryRows(rows: readonly Row[]): Promise<object> {
    const wrong = { stale: [] as string[], needless: [] as string[], other: [] as string[] };
    const built = new Map(rows.map((row) => [row, [] as Buffer[]]));
    const targets = [...new Set(rows.map(({ target }) => target))].join(',');
    const projects = rows.map(({ project }) => project).join(',');
    for (const [index, initrd] of VERSIONS.entries()) {
      workspace.write('shared/initrd', initrd);
      // Nx itself considers a file unchanged if its size and the second of its time are the same.
      touch(workspace.path('shared/initrd'));
      for (const again of [false, true]) {
        rmSync(workspace.path('dist'), { recursive: true, force: true });
        const which = [`--targets=${targets}`, `--projects=${projects}`];
        const { output } = await workspace.nx('run-many', ...which, '--outputStyle=static');
        for (const row of rows) {
          const where = `${row.what}, version ${index}${again ? ', again' : ''}`;
          const state = taskState(output, taskOf(row));
          const isRefused = outputOf(output, taskOf(row)).includes('[NX_KEY_REPLACED]');
          if (row.ending === 'refused' ? !(isRefused && state === 'failed') : state !== 'built' && state !== 'hit') {
            wrong.other.push(`${where}: ${state}`);
          }
          if (state !== 'built' && state !== 'hit') continue;
          const image = workspace.read(imageOf(row.project));
          const images = built.get(row)!;
          const isOld = again ? !image.equals(images[index]!) : images.some((other) => other.equals(image));
          if (isOld) wrong.stale.push(where);
          if (again && state === 'built' && row.ending === 'hits') wrong.needless.push(where);
          images[index] = image;
        }
      }
    }
    return wrong;
  }
  const nothingWrong = { stale: [], needless: [], other: [] };

  it('in targetDefaults by name, project.json and package.json', async () => {
    const rows = [...BY_NAME, ...PROJECT_JSON, ...PACKAGE_JSON];
    for (const { project } of rows) addImage(project);
    for (const { project, lists } of PROJECT_JSON) {
      workspace.writeJson(`images/${project}/project.json`, { name: project, targets: { build: lists } });
    }
    for (const { project: name, lists } of PACKAGE_JSON) {
      const nx = { targets: { build: lists } };
      workspace.writeJson(`images/${name}/package.json`, { name, version: '0.0.0', nx });
    }
    const folders = BY_NAME.map(({ project }) => `images/${project}/**`);
    const plugins = BY_NAME.map(({ target }, index) => {
      return { plugin: 'nx-igvm', include: [folders[index]], options: { build: target } };
    });
    configure(Object.fromEntries(BY_NAME.map(({ target, lists }) => [target, lists])), [
      { plugin: 'nx-igvm', exclude: folders },
      ...plugins,
    ]);
    expect(await tryRows(rows)).toEqual(nothingWrong);
  });

  it.each(BY_EXECUTOR.map((row) => [row.what, row] as const))('in targetDefaults: %s', async (_what, row) => {
    addImage(row.project);
    configure({ 'nx-igvm:build': row.lists });
    expect(await tryRows([row])).toEqual(nothingWrong);
  });

  it('in targetDefaults have no effect after init', async () => {
    configure({ build: Object.assign({}, ...LISTS.map(([, lists]) => lists)) as object });
    await workspace.nxOk('g', 'nx-igvm:init');
    addImage('after-init');
    const row: Row = { project: 'after-init', target: 'build', what: 'after init', lists: {}, ending: 'hits' };
    expect(await tryRows([row])).toEqual(nothingWrong);
  });

  it('without the target that makes the kernel are refused, and work after init', async () => {
    const make = {
      command: 'mkdir -p gen && cp shared/kernel gen/kernel',
      cache: true,
      outputs: ['{workspaceRoot}/gen'],
    };
    configure({ build: { dependsOn: ['^build'] } });
    workspace.writeJson('maker/project.json', { name: 'maker', targets: { make } });
    const { guest } = imageWith('linux_initrd');
    const kernel = { project: 'maker', target: 'make', path: 'gen/kernel' };
    workspace.writeJson('vm/igvm.json', manifestOf(guest, { linux_kernel: kernel, linux_initrd: '../shared/initrd' }));
    const { status, output } = await workspace.nx('build', 'vm');
    expect(status).not.toBe(0);
    expect(output).toContain('[NX_KEY_REPLACED]');
    expect(output).toContain('maker:make would not run first');
    await workspace.nxOk('g', 'nx-igvm:init');
    expect(await workspace.state('vm')).toBe('built');
  });
});

/** Where an image finds a file from another target, and a link on the path to it. */
const MADE: readonly { what: string; resource: string; link?: readonly [path: string, to: string] }[] = [
  { what: 'a file', resource: 'gen/initrd' },
  { what: 'a pattern', resource: 'gen/ini*' },
  { what: 'a link', resource: 'link', link: ['link', 'gen/initrd'] },
  { what: 'a link to a folder', resource: 'folder/initrd', link: ['folder', 'gen'] },
  { what: 'a pattern after a link', resource: 'other/ini*', link: ['other', 'gen'] },
];

describe.each(MAJORS)('the output of another target, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  const projects = MADE.map(({ what }) => what.replaceAll(' ', '-'));

  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\ngen\n');
    workspace.write('shared/kernel', KERNEL);
    for (const [index, { resource, link }] of MADE.entries()) {
      const name = projects[index]!;
      const root = `images/${name}`;
      // The user wrote the `dependsOn`.
      workspace.writeJson(`${root}/project.json`, {
        name,
        targets: {
          make: {
            command: `mkdir -p ${root}/gen && cp ${root}/src/initrd ${root}/gen/initrd`,
            cache: true,
            inputs: ['{projectRoot}/src/**'],
            outputs: ['{projectRoot}/gen'],
          },
          build: { dependsOn: ['make'] },
        },
      });
      if (link !== undefined) symlinkSync(link[1], workspace.path(`${root}/${link[0]}`));
      const resources = { linux_kernel: '{workspaceRoot}/shared/kernel', linux_initrd: resource };
      workspace.writeJson(`${root}/igvm.json`, manifestOf(imageWith('linux_initrd').guest, resources));
    }
  });
  afterAll(() => workspace.dispose());

  it('is never outdated on a clean checkout', async () => {
    const images = new Map(projects.map((project) => [project, [] as Buffer[]]));
    const states = new Map(projects.map((project) => [project, [] as TaskState[]]));
    for (const version of [0, 1, 0, 1]) {
      rmSync(workspace.path('dist'), { recursive: true, force: true });
      for (const project of projects) {
        const source = `images/${project}/src/initrd`;
        workspace.write(source, VERSIONS[version]!);
        touch(workspace.path(source));
        rmSync(workspace.path(`images/${project}/gen`), { recursive: true, force: true });
      }
      const now = await workspace.states(projects.map((project) => `${project}:build`));
      for (const project of projects) {
        states.get(project)!.push(now.get(`${project}:build`)!);
        images.get(project)!.push(workspace.read(imageOf(project)));
      }
    }
    for (const project of projects) {
      expect([project, ...states.get(project)!]).toEqual([project, 'built', 'built', 'hit', 'hit']);
      const [first, second, firstAgain, secondAgain] = images.get(project) as [Buffer, Buffer, Buffer, Buffer];
      expect(first.equals(firstAgain)).toBe(true);
      expect(second.equals(secondAgain)).toBe(true);
      expect(first.equals(second)).toBe(false);
    }
  });
});

/** Successive changes to a file of an image while Nx's daemon runs. */
const CHANGES: readonly [what: string, change: (of: Workspace, place: string) => void][] = [
  ['a new file', (of, place) => of.write(`${place}/d/initrd`, VERSIONS[0])],
  [
    'a file that becomes a link',
    (of, place) => {
      writeFileSync(join(of.outside, `${place}-a`), VERSIONS[1]);
      rmSync(of.path(`${place}/d/initrd`));
      symlinkSync(join(of.outside, `${place}-a`), of.path(`${place}/d/initrd`));
    },
  ],
  [
    'a link whose target changes',
    (of, place) => writeFileSync(join(of.outside, `${place}-a`), VERSIONS[0].subarray(0, 0x1900)),
  ],
  [
    'a link that gets another target',
    (of, place) => {
      writeFileSync(join(of.outside, `${place}-b`), VERSIONS[0].subarray(0, 0x1a00));
      rmSync(of.path(`${place}/d/initrd`));
      symlinkSync(join(of.outside, `${place}-b`), of.path(`${place}/d/initrd`));
    },
  ],
  [
    'a folder that becomes a link',
    (of, place) => {
      of.write(`${place}/e/initrd`, VERSIONS[0].subarray(0, 0x1b00));
      rmSync(of.path(`${place}/d`), { recursive: true });
      symlinkSync('e', of.path(`${place}/d`));
    },
  ],
  ['a file in a folder that is a link', (of, place) => of.write(`${place}/e/initrd`, VERSIONS[0].subarray(0, 0x1c00))],
];

describe.each(MAJORS)('inputs that change under Nx’s daemon, on Nx %s', (_, nx) => {
  let workspace: Workspace;
  const places = ['ignored', 'shared'];

  beforeAll(async () => {
    workspace = await Workspace.create({ nx, env: { NX_DAEMON: 'true' } });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\nignored\n');
    workspace.write('kernels/kernel', KERNEL);
    for (const place of places) {
      workspace.writeJson(`vm-${place}/project.json`, { name: `vm-${place}` });
      const resources = { linux_kernel: '../kernels/kernel', linux_initrd: `../${place}/d/initrd` };
      workspace.writeJson(`vm-${place}/igvm.json`, manifestOf(imageWith('linux_initrd').guest, resources));
    }
    await workspace.commit('vm');
  });
  afterAll(async () => {
    await workspace.nx('daemon', '--stop');
    workspace.dispose();
  });

  it('are noticed, ignored or tracked: also files and folders that become links', async () => {
    const tasks = places.map((place) => `vm-${place}:build`);
    const wrong: string[] = [];
    for (const [what, change] of CHANGES) {
      for (const place of places) change(workspace, place);
      for (const [wanted, name] of [
        ['built', 'stale'],
        ['hit', 'needless'],
      ] as const) {
        const states = await workspace.states(tasks);
        for (const [task, state] of states) if (state !== wanted) wrong.push(`${name}: ${what}, ${task}: ${state}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
