import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CacheServer } from '../harness/cache-server';
import { changed } from '../harness/inputs';
import { Workspace } from '../harness/workspace';
import { bytesOf, imageWith, manifestOf } from './images';
import { WebFolder } from './web-folder';

const PROJECTS = ['tracked', 'untracked', 'beside', 'pinned', 'made', 'web'];
const TASKS = PROJECTS.map((project) => `${project}:build`);
const image = (workspace: Workspace, project: string): Buffer =>
  workspace.read(`dist/images/${project}/${project}.igvm`);

/** The same workspace at another path: images with initrds in different places. */
function fill(workspace: Workspace, anywhere: string, web: WebFolder): void {
  const initrd = bytesOf('linux_initrd');
  const add = (project: string, resource: unknown): void => {
    workspace.writeJson(`images/${project}/project.json`, { name: project });
    workspace.writeJson(
      `images/${project}/igvm.json`,
      manifestOf(imageWith('linux_initrd').guest, {
        linux_kernel: '{workspaceRoot}/shared/linux_kernel',
        linux_initrd: resource,
      }),
    );
  };
  workspace.write('.gitignore', 'node_modules\n.nx\ndist\nignored\n');
  workspace.write('shared/linux_kernel', bytesOf('linux_kernel'));
  workspace.write('images/tracked/initrd.bin', initrd);
  add('tracked', 'initrd.bin');
  workspace.write('images/untracked/ignored/initrd.bin', initrd);
  add('untracked', 'ignored/initrd.bin');
  writeFileSync(join(workspace.outside, 'initrd.bin'), initrd);
  add('beside', '../../../outside/initrd.bin');
  const pinned = join(anywhere, 'initrd.bin');
  add('pinned', { path: pinned, sha256: createHash('sha256').update(initrd).digest('hex') });
  writeFileSync(join(web.folder, 'initrd'), initrd);
  const sha256 = createHash('sha256').update(initrd).digest('hex');
  add('web', { url: new URL('initrd', web.base).href, sha256 });
  workspace.write('initrd/rootfs/init', '#!/bin/sh\n');
  workspace.writeJson('initrd/initrd.json', { folder: 'rootfs' });
  add('made', { project: 'initrd', target: 'build', path: 'dist/initrd/initrd.cpio' });
}

describe('sharing a cache', () => {
  let anywhere: string;
  let cache: string;
  let web: WebFolder;
  const workspaces: Workspace[] = [];
  const clone = async (options: Parameters<typeof Workspace.create>[0]): Promise<Workspace> => {
    const workspace = await Workspace.create(options);
    workspaces.push(workspace);
    fill(workspace, anywhere, web);
    return workspace;
  };
  const states = async (workspace: Workspace): Promise<string[]> => [
    ...new Set((await workspace.states(TASKS)).values()),
  ];

  beforeAll(async () => {
    web = await WebFolder.start();
    anywhere = mkdtempSync(join(tmpdir(), 'nx-igvm-anywhere-'));
    cache = mkdtempSync(join(tmpdir(), 'nx-igvm-cache-'));
    writeFileSync(join(anywhere, 'initrd.bin'), bytesOf('linux_initrd'));
  });
  afterAll(async () => {
    await web.close();
    for (const workspace of workspaces) workspace.dispose();
    for (const folder of [anywhere, cache]) rmSync(folder, { recursive: true, force: true });
  });

  it('two clones at different paths get each other’s hits', async () => {
    const a = await clone({ cache });
    const b = await clone({ cache });
    expect(a.root).not.toBe(b.root);
    expect(await states(a)).toEqual(['built']);
    expect(web.requests).toBe(1);
    // The second doesn't even have the pinned file.
    rmSync(join(anywhere, 'initrd.bin'));
    expect(await states(b)).toEqual(['hit']);
    // It doesn't download anything, either.
    expect(web.requests).toBe(1);
    for (const project of PROJECTS) expect(image(b, project).equals(image(a, project))).toBe(true);
    writeFileSync(join(anywhere, 'initrd.bin'), bytesOf('linux_initrd'));
  });

  it('a remote cache gives a clone the images of another clone, without building', async () => {
    const server = await CacheServer.start();
    try {
      const a = await clone({ env: server.env });
      const b = await clone({ env: server.env });
      expect(await states(a)).toEqual(['built']);
      // One artifact for each image, and one for the initramfs that one of them uses.
      expect(server.artifacts.size).toBe(PROJECTS.length + 1);
      expect(server.requests).not.toContain('PUT 401');

      const output = await b.nxOk('run-many', '-t', 'build', '--outputStyle=static');
      for (const task of TASKS) expect(output).toContain(`nx run ${task}  [remote cache]`);
      for (const project of PROJECTS) expect(image(b, project).equals(image(a, project))).toBe(true);

      b.write('images/tracked/initrd.bin', changed(bytesOf('linux_initrd')));
      expect(await b.state('tracked')).toBe('built');
      expect(await a.state('tracked')).toBe('hit');
    } finally {
      await server.stop();
    }
  });

  it('nx affected and nx graph know which image uses which project', async () => {
    const [workspace] = workspaces as [Workspace];
    await workspace.commit('images');
    workspace.write('initrd/rootfs/etc/motd', 'hello\n');
    const affected = await workspace.nxOk('show', 'projects', '--affected', '--base=HEAD');
    expect(affected.trim().split('\n').sort()).toEqual(['initrd', 'made']);

    await workspace.nxOk('graph', '--file=graph.json');
    const { graph } = workspace.readJson<{ graph: { dependencies: Record<string, { target: string }[]> } }>(
      'graph.json',
    );
    expect(graph.dependencies['made']?.map(({ target }) => target)).toEqual(['initrd']);
  });
});
