import { readJsonObject } from './inferred-image';
import { Workspace } from './workspace.fixture';

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

  it('is not behind a link that leaves the workspace, valid or not', () => {
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

  it('is no larger than such files are', () => {
    workspace.write('a.json', `{"x": "${'x'.repeat(2 ** 20)}"}`);
    expect(failure('a.json')).toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining('and the limit is'),
    });
  });

  it('says where it is wrong', () => {
    workspace.write('a.json', '{\n  "a": 1,\n}');
    expect(failure('a.json')).toMatchObject({ code: 'MANIFEST_SYNTAX', where: { file: 'a.json', line: 3, column: 1 } });
  });
});
