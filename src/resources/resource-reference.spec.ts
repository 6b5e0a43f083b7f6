import { parseResource } from './resource-reference';

const PIN = 'AB'.repeat(32);
const file = { kind: 'file', base: 'manifest', glob: false };
const output = { kind: 'output', project: 'p', target: 't', path: 'dist/k' };

describe('a resource', () => {
  it.each<[string, unknown, object]>([
    ['a path', 'boot/k', { ...file, path: 'boot/k' }],
    ['a path from the workspace', '{workspaceRoot}/k', { ...file, base: 'workspace', path: 'k' }],
    ['an absolute path', '/boot/k', { ...file, base: 'absolute', path: '/boot/k' }],
    ['an absolute path of Windows', 'C:\\\\boot\\\\k', { ...file, base: 'absolute', path: 'C:\\boot\\k' }],
    ['a pattern', 'k-*', { ...file, glob: true, path: 'k-*' }],
    ['a path with escaped characters', 'k\\*\\[1\\]', { ...file, path: 'k*[1]' }],
    ['a path as an object', { path: 'k' }, { ...file, path: 'k' }],
    ['a pinned path', { path: 'k', sha256: PIN }, { ...file, path: 'k', sha256: PIN.toLowerCase() }],
    ['an output', { project: 'p', target: 't', path: 'dist/k' }, output],
    ['an output from the workspace', { project: 'p', target: 't', path: '{workspaceRoot}/dist/k' }, output],
    [
      'a pinned output',
      { project: 'p', target: 't', path: 'dist/k', sha256: PIN },
      { ...output, sha256: PIN.toLowerCase() },
    ],
  ])('is %s', (_, resource, meaning) => {
    expect(parseResource(resource)).toEqual(meaning);
  });

  it.each<[string, unknown]>([
    ['an empty path', ''],
    ['nothing', null],
    ['a number', 5],
    ['an object without path', { project: 'p', target: 't' }],
    ['an object with an empty path', { path: '' }],
    ['an output without target', { project: 'p', path: 'k' }],
    ['an output without project', { target: 't', path: 'k' }],
  ])('is not %s, which inference may find in an unchecked manifest', (_, resource) => {
    expect(parseResource(resource)).toBeUndefined();
  });
});
