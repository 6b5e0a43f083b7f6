import { NX_VERSIONS } from '../harness/template';
import { type TaskState, touch, Workspace } from '../harness/workspace';
import { type Cell, createCells } from './cells';
import { WebFolder } from './web-folder';

/**
 * Every kind of file that an image depends on, in every location. Each combination is a project, all in one workspace, with one
 * `nx run-many` for each change.
 */
describe.each(Object.entries(NX_VERSIONS))('caching with Nx %s', (_, nx) => {
  let workspace: Workspace;
  let cells: Cell[];
  let web: WebFolder;
  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    web = await WebFolder.start();
    cells = await createCells(workspace, web);
  });
  afterAll(async () => {
    workspace.dispose();
    await web.close();
  });

  /** Builds everything, and lists the cells with unexpected results. */
  async function expectStates(expected: (cell: Cell, index: number) => TaskState): Promise<void> {
    const states = await workspace.states(cells.map(({ project }) => `${project}:build`));
    const wrong = { stale: [] as string[], needless: [] as string[], other: [] as string[] };
    cells.forEach((cell, index) => {
      const should = expected(cell, index);
      const is = states.get(`${cell.project}:build`);
      if (is === should || (should === 'failed' && is === 'skipped')) return;
      const list = is === 'hit' ? wrong.stale : should === 'hit' && is === 'built' ? wrong.needless : wrong.other;
      list.push(`${cell.what}, ${cell.where}: ${is} instead of ${should}`);
    });
    expect(wrong).toEqual({ stale: [], needless: [], other: [] });
  }

  const even = (_: Cell, index: number): boolean => index % 2 === 0;
  const odd = (_: Cell, index: number): boolean => index % 2 === 1;
  const firstOutputs = new Map<string, Buffer>();
  const output = ({ project, output: other }: Cell): Buffer =>
    workspace.read(other ?? `dist/images/${project}/${project}.igvm`);

  it('builds every image once', async () => {
    await expectStates(() => 'built');
    for (const cell of cells) firstOutputs.set(cell.project, output(cell));
  });

  it('hits when nothing changed', () => expectStates(() => 'hit'));

  it('hits when files were only touched', async () => {
    for (const { location } of cells) touch(location.file());
    await expectStates(() => 'hit');
  });

  it('rebuilds only what changed', async () => {
    for (const { location, other } of cells.filter(even)) location.put(other);
    await expectStates((cell, index) => (even(cell, index) ? 'built' : 'hit'));
    for (const [index, cell] of cells.entries()) {
      const differs = !output(cell).equals(firstOutputs.get(cell.project) as Buffer);
      expect(`${cell.project} differs: ${differs}`).toBe(`${cell.project} differs: ${even(cell, index)}`);
    }
  });

  it('rebuilds the others when they change', async () => {
    for (const { location, other } of cells.filter(odd)) location.put(other);
    await expectStates((cell, index) => (odd(cell, index) ? 'built' : 'hit'));
  });

  it('hits the first images when everything is restored', async () => {
    for (const { location, bytes } of cells) location.put(bytes);
    await expectStates(() => 'hit');
    for (const cell of cells) expect(output(cell).equals(firstOutputs.get(cell.project) as Buffer)).toBe(true);
  });

  it('fails when a file is missing, and hits when it is back', async () => {
    const gone = cells.filter(even).filter(({ removable }) => removable);
    for (const { location } of gone) location.put(undefined);
    await expectStates((cell) => (gone.includes(cell) ? 'failed' : 'hit'));
    for (const { location, bytes } of gone) location.put(bytes);
    await expectStates(() => 'hit');
  });

  it('fails when the other files are missing', async () => {
    const gone = cells.filter(odd).filter(({ removable }) => removable);
    for (const { location } of gone) location.put(undefined);
    await expectStates((cell) => (gone.includes(cell) ? 'failed' : 'hit'));
  });
});
