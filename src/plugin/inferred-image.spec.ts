import { requestsOf } from './hash-files';
import { readJsonObject } from './inferred-image';
import { logger } from './workspace-nx';
import { linuxManifest, Workspace } from './workspace.fixture';

let workspace: Workspace;
let elsewhere: Workspace;
beforeEach(() => {
  workspace = new Workspace();
  elsewhere = new Workspace();
});
afterEach(() => {
  workspace.remove();
  elsewhere.remove();
});

const failure = (path: string) => {
  try {
    return readJsonObject(workspace.root, path);
  } catch (error) {
    return error;
  }
};

describe('JSON that inference reads', () => {
  it('is an object, or counts as an empty one', () => {
    workspace.write('a.json', '{"name": "a"}');
    workspace.write('b.json', '[1]');
    workspace.link('c.json', 'a.json');
    expect(['a.json', 'b.json', 'c.json'].map((path) => readJsonObject(workspace.root, path))).toEqual([
      { name: 'a' },
      {},
      { name: 'a' },
    ]);
  });

  it('is not read through a link that leaves the workspace, valid or not', () => {
    elsewhere.write('secret', 'ghp_0123456789abcdef');
    elsewhere.write('secret.json', '{"name": "ghp_0123456789abcdef"}');
    workspace.link('a/igvm.json', `${elsewhere.root}/secret`);
    workspace.link('b/igvm.json', `${elsewhere.root}/secret.json`);
    workspace.link('folder', elsewhere.root);
    for (const path of ['a/igvm.json', 'b/igvm.json', 'folder/secret.json']) {
      expect(failure(path)).toMatchObject({
        code: 'FILE_UNREADABLE',
        message: 'cannot be read: it is reached through a link that leads out of the workspace',
        where: { file: path },
      });
    }
  });

  it('is limited in size', () => {
    workspace.write('a.json', `{"x": "${'x'.repeat(2 ** 20)}"}`);
    expect(failure('a.json')).toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining('and the limit is'),
    });
  });

  it('is reported with the place of a mistake', () => {
    workspace.write('a.json', '{\n  "a": 1,\n}');
    expect(failure('a.json')).toMatchObject({ code: 'MANIFEST_SYNTAX', where: { file: 'a.json', line: 3, column: 1 } });
  });
});

describe('a wrong manifest', () => {
  it.each([
    ['is not an object', '[]'],
    [
      'has guests of the wrong type',
      '{"guest_configs": [null, 5, {"image": "x", "isolation_type": 7}], "resources": []}',
    ],
    [
      'has resources of the wrong type',
      '{"guest_configs": [{"image": {"linux": null}}], "resources": {"linux_kernel": {"path": 5}}}',
    ],
    [
      'contains names of object members',
      '{"guest_configs": [{"image": {"constructor": {}}, "isolation_type": {"toString": 1}}]}',
    ],
  ])('that %s still has its target, whose executor reports the mistake', async (_, text) => {
    workspace.write('a/igvm.json', text);
    const projects = await workspace.infer(['a/igvm.json']);
    expect(projects['a']!.targets!['build']!.executor).toBe('nx-igvm:build');
  });

  it.each([
    ['igvm.json', 'build'],
    ['initrd.json', 'build'],
  ])('that is not JSON does not stop other projects, and is reported with its place: %s', async (file, target) => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    const folder = `broken-${file}`;
    workspace.write(`${folder}/${file}`, '{\n  "name" "x64"\n}');
    workspace.write('b/igvm.json', linuxManifest('k'));
    const projects = await workspace.infer([`${folder}/${file}`, 'b/igvm.json']);
    expect(projects['b']!.targets!['build']).toBeDefined();
    expect(warn.mock.calls).toEqual([[`${folder}/${file}:2:10: expected a colon after the key (at name)`]]);
    warn.mockRestore();
    // Its own target exists, fails in the executor, and is never taken from the cache.
    const { executor, inputs = [] } = projects[folder]!.targets![target]!;
    expect(executor).toMatch(/^nx-igvm:(build|initrd)$/);
    expect(
      inputs.some(
        (input) =>
          typeof input === 'object' && 'runtime' in input && requestsOf(input.runtime).some((each) => 'never' in each),
      ),
    ).toBe(true);
  });

  it('that is a link out of the workspace is not read', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    const elsewhere = new Workspace();
    elsewhere.write('igvm.json', linuxManifest('k', { name: 'secret' }));
    workspace.link('linked/igvm.json', `${elsewhere.root}/igvm.json`);
    const projects = await workspace.infer(['linked/igvm.json']);
    elsewhere.remove();
    expect(projects['linked']).toMatchObject({ name: 'linked', targets: { build: { executor: 'nx-igvm:build' } } });
    expect(warn.mock.calls.flat().join()).toMatch(/^linked\/igvm.json: cannot be read: .* leads out of the workspace$/);
    warn.mockRestore();
  });

  it.each(['a\u001b[31m$(id)', 'Übung', '../x', 'a b', 'a'.repeat(10) + ';'])(
    'does not give its project the name %j, which generators refuse',
    async (name) => {
      const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
      workspace.write('named/igvm.json', linuxManifest('k', { name }));
      expect((await workspace.infer(['named/igvm.json']))['named']!.name).toBe('named');
      expect(warn.mock.calls.flat().join()).toContain('is ignored: use lower-case letters');
      expect(warn.mock.calls.flat().join()).not.toContain('\u001b');
      warn.mockRestore();
    },
  );
});
