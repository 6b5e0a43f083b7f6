import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changed } from '../harness/inputs';
import { Workspace } from '../harness/workspace';
import { bytesOf, imageWith, manifestOf } from './images';

/** Names that a shell, a glob, JSON or a URL could misread. */
const NAMES = [
  'with spaces and  more',
  `single ' and double " quotes`,
  '$(touch PWNED)',
  '`touch PWNED`',
  '; touch PWNED ;',
  '& touch PWNED &',
  '$HOME ${HOME} %PATH%',
  'new\nline',
  'größe 内核 🐧',
  'glob [a-z] {b,c} *? !(d)',
  'back\\slash',
  '-dash',
  '#hash %20 ?query',
];

describe('file names', () => {
  let workspace: Workspace;
  /** The initrd of each project's image. */
  const files = new Map<string, string>();
  const bytes = bytesOf('linux_initrd');
  const states = async (): Promise<string[]> => [
    ...new Set((await workspace.states([...files.keys()].map((project) => `${project}:build`))).values()),
  ];

  beforeAll(async () => {
    workspace = await Workspace.create();
    workspace.write('shared/linux_kernel', bytesOf('linux_kernel'));
    NAMES.forEach((name, index) => {
      addImage(`tracked-${index}`, (root) => [name, workspace.path(`${root}/${name}`)]);
      addImage(`outside-${index}`, () => [join(workspace.outside, name), join(workspace.outside, name)]);
      addImage(`link-${index}`, (root) => {
        const target = join(workspace.outside, `target of ${name}`);
        writeFileSync(target, bytes);
        mkdirSync(workspace.path(root), { recursive: true });
        symlinkSync(target, workspace.path(`${root}/${name}`));
        return [name, target];
      });
    });
    // The folder of a project, which is also in the paths of its outputs.
    addImage('folder', () => ['initrd', workspace.path(`${FOLDER}/initrd`)], FOLDER);
    await workspace.commit('names');
  });
  afterAll(() => workspace.dispose());

  const FOLDER = "images/größe [1] {2} (3) $(touch PWNED) 'q'";

  function addImage(
    project: string,
    place: (root: string) => [written: string, path: string],
    root = `images/${project}`,
  ): void {
    const [written, path] = place(root);
    workspace.writeJson(`${root}/project.json`, { name: project });
    writeFileSync(path, bytes);
    files.set(project, path);
    workspace.writeJson(
      `${root}/igvm.json`,
      manifestOf(imageWith('linux_initrd').guest, {
        linux_kernel: '{workspaceRoot}/shared/linux_kernel',
        linux_initrd: written.replace(/[\\*?[\]{}()!]/g, '\\$&'),
      }),
    );
  }

  it('of every kind can be built', async () => {
    expect(await states()).toEqual(['built']);
  });

  it('hit when nothing changed', async () => {
    expect(await states()).toEqual(['hit']);
  });

  it('are rebuilt when their content changed', async () => {
    for (const path of files.values()) writeFileSync(path, changed(bytes));
    expect(await states()).toEqual(['built']);
  });

  it('run no commands', () => {
    expect(existsSync(workspace.path('PWNED'))).toBe(false);
    expect(existsSync(join(workspace.outside, 'PWNED'))).toBe(false);
  });
});
