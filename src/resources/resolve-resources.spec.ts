import { pathOf, textOf } from '../errors/json-path.fixture';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { parseManifest } from '../manifest/load-manifest';
import { type ResolveOptions, locateResources } from './resolve-resources';

let root: string;
const write = (path: string, content = path) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'igvm-resources-')));
  write('nx.json', '{}');
});
afterEach(() => rmSync(root, { recursive: true }));

const MANIFEST = 'images/one/igvm.json';
const linuxImage = (useInitrd: boolean) => ({ linux: { use_initrd: useInitrd, command_line: '' } });

const resolve = (resources: object | undefined, options: ResolveOptions = {}, image: unknown = linuxImage(false)) => {
  const guests = [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image }];
  const text = JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources });
  return locateResources({ ...parseManifest(text, MANIFEST), path: join(root, MANIFEST) }, options);
};
const kernel = (resource: unknown) => resolve({ linux_kernel: resource }).get('linux_kernel')!.display;
const failure = (action: () => unknown): IgvmError => {
  try {
    action();
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('expected a failure');
};

describe('a resource', () => {
  it.each([
    ['relative to the manifest', 'boot/vmlinuz', 'images/one/boot/vmlinuz'],
    ['above the manifest', '../vmlinuz', 'images/vmlinuz'],
    ['from the workspace', '{workspaceRoot}/vmlinuz', 'vmlinuz'],
    ['as an object', { path: 'vmlinuz' }, 'images/one/vmlinuz'],
    ['that another target writes', { project: 'p', target: 'build', path: 'dist/p/k' }, 'dist/p/k'],
    ['with special letters', 'a (b) $c; "d" ä', 'images/one/a (b) $c; "d" ä'],
    ['with escaped special characters', 'k\\[1\\]\\*', 'images/one/k[1]*'],
    ['by a glob with escaped characters', 'odd\\{1\\}/k-?', 'images/one/odd{1}/k-7'],
    ['by a glob', 'boot/vmlinuz-*', 'images/one/boot/vmlinuz-6.1'],
    ['by a glob from the workspace', '{workspaceRoot}/**/only-{a,b}.bin', 'x/y/only-b.bin'],
    ['by a glob above the manifest', '../k[0-9]', 'images/k5'],
    ['by a glob that starts with !', '!k?', 'images/one/!k1'],
  ])('%s is found', (_, resource, expected) => {
    write(expected);
    expect(kernel(resource)).toBe(expected);
  });

  it('is found by an absolute path, inside or outside the workspace', () => {
    write('k');
    expect(kernel(join(root, 'k'))).toBe('k');
    const outside = realpathSync(mkdtempSync(join(tmpdir(), 'igvm-outside-')));
    writeFileSync(join(outside, 'k'), '');
    expect(kernel(join(outside, 'k'))).toBe(join(outside, 'k'));
    rmSync(outside, { recursive: true });
  });

  it('may be a symlink, even if found by a glob', () => {
    write('images/one/real/k');
    symlinkSync('real/k', join(root, 'images/one/link-1'));
    expect(kernel('link-?')).toBe('images/one/link-1');
  });

  it('is never one of the internal files of Git, even through a link', () => {
    write('.git/config');
    symlinkSync(join(root, '.git', 'config'), join(root, 'kernel'));
    for (const resource of ['{workspaceRoot}/.git/config', '{workspaceRoot}/kernel']) {
      expect(failure(() => kernel(resource))).toMatchObject({
        code: 'RESOURCE_PATH',
        message: expect.stringContaining('part of the data of a Git repository'),
      });
    }
  });

  it('knows where the manifest names it', () => {
    write('images/one/k');
    expect(resolve({ linux_kernel: 'k' }).get('linux_kernel')).toMatchObject({
      path: join(root, 'images/one/k'),
      where: { file: MANIFEST, line: 1, jsonPath: ['resources', 'linux_kernel'] },
    });
  });

  it.each([
    ['that does not exist', 'k', 'FILE_UNREADABLE', 'does not exist'],
    ['below a file', 'file/k', 'FILE_UNREADABLE', 'does not exist'],
    ['that is a folder', 'folder', 'FILE_UNREADABLE', 'is a folder, not a file'],
    ['by a glob without a match', 'no-*', 'RESOURCE_PATH', 'matches no file'],
    ['by a glob with two matches', 'two-*', 'RESOURCE_PATH', 'matches 2 files (two-a, two-b), expected exactly one'],
    ['by a glob with many matches', 'many-*', 'RESOURCE_PATH', 'matches 4 files (many-1, many-2, many-3, …)'],
    ['that leads to itself', 'loop', 'FILE_UNREADABLE', 'cannot be read (ELOOP)'],
    [
      'that another target should have written',
      { project: 'p', target: 't', path: 'dist/k' },
      'FILE_UNREADABLE',
      'dist/k does not exist',
    ],
  ])('%s is refused, with its location in the manifest', (_, resource, code, message) => {
    const files = ['file', 'folder/x', 'two-a', 'two-b', 'many-1', 'many-2', 'many-3', 'many-4'];
    for (const path of files) write(`images/one/${path}`);
    symlinkSync('loop', join(root, 'images/one/loop'));
    const error = failure(() => kernel(resource));
    expect([error.code, error.where]).toEqual([
      code,
      { file: MANIFEST, line: 1, column: expect.any(Number), jsonPath: ['resources', 'linux_kernel'] },
    ]);
    expect(error.message).toContain(message);
  });

  it.each([
    ['boot/vmlinuz-6.1.0-44', 'images/one/boot/vmlinuz-6.1.0-44 does not exist; that folder has "vmlinuz-6.1.0-50"'],
    ['boot/other-*', 'matches no file; that folder has "'],
    ['boot/vmlinuz-7*', 'matches no file; that folder has "vmlinuz-6.1.0-50"'],
    ['boot/initrf', 'does not exist; that folder has "initrd"'],
    ['~/vmlinuz', 'does not exist: "~" is not expanded: write the whole path'],
    ['$HOME/vmlinuz', 'does not exist: "$HOME" is not expanded: write the whole path'],
    ['/boot/vmlinuz-$(uname -r)', '"$(" is not expanded: write the whole path'],
    [{ project: 'p', target: 't', path: 'dist/k' }, 'does not exist; it is an output of p:t: run that target'],
  ])('that does not exist is reported with advice: %j', (resource, message) => {
    write('images/one/boot/vmlinuz-6.1.0-50');
    write('images/one/boot/initrd');
    const error = failure(() => kernel(resource));
    expect(error.message).toContain(message);
    expect(error.format()).not.toContain('Check the path and its permissions');
  });

  it('needs a workspace if its path is relative to the workspace', () => {
    write('images/one/k');
    rmSync(join(root, 'nx.json'));
    expect(failure(() => kernel('{workspaceRoot}/images/one/k')).code).toBe('RESOURCE_PATH');
    expect(resolve({ linux_kernel: '{workspaceRoot}/images/one/k' }, { workspaceRoot: root }).size).toBe(1);
  });

  it('starts with no Nx token other than the workspace', () => {
    write('images/one/k');
    const error = failure(() => kernel('{projectRoot}/k'));
    expect(error.code).toBe('RESOURCE_PATH');
    expect(error.message).toContain('"{projectRoot}" is not known');
    write('images/one/{odd}/k');
    expect(kernel('\\{odd\\}/k')).toBe('images/one/{odd}/k');
  });

  it('has its pinned digest, which the build checks', () => {
    write('images/one/k', 'content');
    const sha256 = 'AB'.repeat(32);
    const found = resolve({ linux_kernel: { path: 'k', sha256 } }).get('linux_kernel');
    expect(found).toMatchObject({ sha256: sha256.toLowerCase(), where: { jsonPath: ['resources', 'linux_kernel'] } });
  });
});

describe('the resources of an image', () => {
  it('are only those that it uses', () => {
    write('images/one/k');
    expect([...resolve({ linux_kernel: 'k', linux_initrd: 'missing', uefi: 'missing' }).keys()]).toEqual([
      'linux_kernel',
    ]);
  });

  it('are reported together if their files are missing or the manifest does not name them', () => {
    const error = failure(() =>
      resolve(
        { underhill_kernel: 'a', openhcl_boot: 'b', uefi: 'c-*' },
        {},
        { openhcl: { memory_page_count: 512, uefi: true } },
      ),
    );
    expect([error, ...error.also].map(({ code, where }) => [code, textOf(where)])).toEqual([
      ['RESOURCE_MISSING', 'resources'],
      ['RESOURCE_PATH', 'resources.uefi'],
      ['FILE_UNREADABLE', 'resources.underhill_kernel'],
      ['FILE_UNREADABLE', 'resources.openhcl_boot'],
    ]);
  });

  it('are all requested at once when they are missing', () => {
    const error = failure(() => resolve(undefined, {}, { openhcl: { memory_page_count: 512, uefi: true } }));
    expect([error.code, textOf(error.where)]).toEqual(['RESOURCE_MISSING', 'resources']);
    expect(error.message).toContain('"uefi", "underhill_kernel", "openhcl_boot", "underhill_initrd"');
  });

  it('include the sidecar of an OpenHCL image when it is given', () => {
    const given = { underhill_kernel: 'k', openhcl_boot: 'k', underhill_initrd: 'k' };
    const image = { openhcl: { memory_page_count: 512 } };
    write('images/one/k');
    expect(resolve(given, {}, image).size).toBe(3);
    expect(resolve({ ...given, underhill_sidecar: 'k' }, {}, image).size).toBe(4);
    expect(textOf(failure(() => resolve({ ...given, underhill_sidecar: 'x' }, {}, image)).where)).toBe(
      'resources.underhill_sidecar',
    );
  });
});

describe('a separate resources file', () => {
  const separate = (text: string, image?: unknown) => {
    write('resources.json', text.replaceAll('ROOT', root));
    const warnings: string[] = [];
    const options = { resourcesFile: join(root, 'resources.json'), resourcesDisplay: 'resources.json' };
    const resolved = resolve(undefined, { ...options, warn: ({ message }) => warnings.push(message) }, image);
    return { resolved, warnings };
  };

  it('has absolute paths, which are used literally', () => {
    write('k[1]*');
    const { resolved } = separate('{"resources": {"linux_kernel": "ROOT/k[1]*"}}');
    expect(resolved.get('linux_kernel')).toMatchObject({
      display: 'k[1]*',
      where: { file: 'resources.json', jsonPath: ['resources', 'linux_kernel'] },
    });
  });

  it('may have unknown keys and duplicate names, of which the last counts; both are warnings', () => {
    write('k');
    const { resolved, warnings } = separate('{"a": 1, "resources": {"linux_kernel": "/x", "linux_kernel": "ROOT/k"}}');
    expect(resolved.get('linux_kernel')!.display).toBe('k');
    expect(warnings).toEqual(['"linux_kernel" occurs again; the last one counts', 'unknown key "a" is ignored']);
  });

  it.each([
    ['a relative path', '{"resources": {"uefi": "k", "linux_kernel": "/k"}}', 'MANIFEST_INVALID', 'resources.uefi'],
    [
      'a path that is not a string',
      '{"resources": {"linux_kernel": {"path": "/k"}}}',
      'MANIFEST_INVALID',
      'resources.linux_kernel',
    ],
    ['an unknown name', '{"resources": {"kernel": "/k"}}', 'MANIFEST_UNKNOWN_KEY', 'resources.kernel'],
    ['no table', '{}', 'MANIFEST_INVALID', 'resources'],
    ['two tables', '{"resources": {}, "resources": {}}', 'MANIFEST_DUPLICATE_KEY', 'resources'],
    ['a missing resource', '{"resources": {"uefi": "/k"}}', 'RESOURCE_MISSING', 'resources'],
    ['broken JSON', '{"resources": {]', 'MANIFEST_SYNTAX', 'resources'],
    [
      'a file that does not exist',
      '{"resources": {"linux_kernel": "/nonexistent/k"}}',
      'FILE_UNREADABLE',
      'resources.linux_kernel',
    ],
  ])('is refused for %s', (_, text, code, jsonPath) => {
    const error = failure(() => separate(text));
    expect([error.code, error.where]).toEqual([
      code,
      { file: 'resources.json', line: 1, column: expect.any(Number), jsonPath: pathOf(jsonPath) },
    ]);
  });
});
