import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { parseManifest } from '../../manifest/load-manifest';
import { withProperty } from './adopt-manifest';
import { guestImageGenerator } from './generator';

describe('guest-image with a manifest of igvmfilegen', () => {
  let tree: Tree;
  let outside: string;
  beforeEach(() => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    outside = mkdtempSync(join(tmpdir(), 'adopt-'));
  });
  afterEach(() => rmSync(outside, { recursive: true, force: true }));

  const manifestText = (root: string): string => tree.read(`${root}/igvm.json`, 'utf8') ?? '';
  const parsed = (root: string) => parseManifest(manifestText(root), 'igvm.json', { strict: true }).manifest;
  const legacy = `{
    "guest_arch": "x64",
    "guest_configs": [ { "guest_svn": 1, "max_vtl": 2, "isolation_type": { "snp": {
        "shared_gpa_boundary_bits": 46, "policy": 18446744073709551615, "enable_debug": false, "injection_type": "normal" } },
        "image": { "openhcl": { "memory_page_count": 16384, "uefi": true } } } ]
}`;

  it('adds keys to the text and changes nothing else, not even an integer above 2^53', async () => {
    tree.write('legacy/cvm.json', legacy);
    tree.write(
      'legacy/resources.json',
      JSON.stringify({
        resources: {
          uefi: join(outside, 'MSVM.fd'),
          underhill_kernel: join(tree.root, 'binaries', 'vmlinux'),
          openhcl_boot: join(tree.root, 'cvm', 'boot', 'shim'),
          underhill_initrd: 'initrd.cpio.gz',
        },
      }),
    );
    await guestImageGenerator(tree, { name: 'cvm', from: 'legacy/cvm.json', resources: 'legacy/resources.json' });

    const manifest = parsed('cvm');
    expect(manifest.guest_configs[0]?.isolation_type).toMatchObject({ snp: { policy: 2n ** 64n - 1n } });
    expect(manifest.resources).toEqual({
      uefi: join(outside, 'MSVM.fd'),
      underhill_kernel: '{workspaceRoot}/binaries/vmlinux',
      openhcl_boot: 'boot/shim',
      underhill_initrd: '{workspaceRoot}/legacy/initrd.cpio.gz',
    });
    const body = legacy.slice(legacy.indexOf('"guest_arch"'), legacy.lastIndexOf(']'));
    expect(manifestText('cvm')).toContain(body);
    expect(manifestText('cvm')).toMatch(/^\{\s*"\$schema"/);
    expect(tree.read('legacy/cvm.json', 'utf8')).toBe(legacy);
  });

  it('accepts files outside the workspace, and images without resources', async () => {
    writeFileSync(join(outside, 'm.json'), legacy);
    await guestImageGenerator(tree, { name: 'cvm', from: join(outside, 'm.json') });
    expect(parsed('cvm').resources).toBeUndefined();
  });

  it.each([
    ['{ "resources": { "kernel": "/k" } }', '"kernel" is not a resource with a path'],
    ['{ "resources": { "uefi": 7 } }', '"uefi" is not a resource with a path'],
    ['{}', 'a resources file needs an object "resources"'],
    ['[', 'this is not a JSON object'],
  ])('refuses the resources file %j', async (resources, sentence) => {
    tree.write('m.json', legacy);
    tree.write('r.json', resources);
    await expect(guestImageGenerator(tree, { name: 'cvm', from: 'm.json', resources: 'r.json' })).rejects.toThrow(
      sentence,
    );
  });

  it('refuses options that it would ignore', async () => {
    tree.write('m.json', legacy);
    await expect(guestImageGenerator(tree, { name: 'cvm', from: 'm.json', kernel: 'vmlinuz' })).rejects.toThrow(
      'kernel would be ignored',
    );
    await expect(guestImageGenerator(tree, { name: 'cvm', resources: 'r.json' })).rejects.toThrow(
      'which names the manifest to adopt',
    );
  });

  it('does not escape the title in the README', async () => {
    tree.write('m.json', legacy);
    await guestImageGenerator(tree, { name: 'cvm', from: 'm.json' });
    expect(tree.read('cvm/README.md', 'utf8')).toContain("Adopted from igvmfilegen's `m.json`.");
  });

  it('names a missing file', async () => {
    await expect(guestImageGenerator(tree, { name: 'cvm', from: 'nowhere.json' })).rejects.toThrow(
      'nowhere.json: --from: the file cannot be read',
    );
  });
});

describe('setting a property in the text of a JSON object', () => {
  it('puts it first or last, and changes nothing else', () => {
    const text = '{\n    "a": 18446744073709551615, "b" : [ 1,\n2 ]\n}\n';
    expect(withProperty(text, 'x', 'y', 'first')).toBe(
      '{\n    "x": "y",\n    "a": 18446744073709551615, "b" : [ 1,\n2 ]\n}\n',
    );
    expect(withProperty(text, 'x', { y: 1 }, 'last')).toBe(
      '{\n    "a": 18446744073709551615, "b" : [ 1,\n2 ],\n    "x": {\n        "y": 1\n    }\n}\n',
    );
  });

  it('replaces a value in place', () => {
    expect(withProperty('{"a":1,"x":{"old":true},"b":2}', 'x', 3, 'first')).toBe('{"a":1,"x":3,"b":2}');
  });

  it('keeps the line endings of the text', () => {
    expect(withProperty('{\r\n\t"a": 1\r\n}', 'x', [1], 'last')).toBe(
      '{\r\n\t"a": 1,\r\n\t"x": [\r\n\t\t1\r\n\t]\r\n}',
    );
  });

  it('fills an empty object', () => {
    expect(withProperty('{}', 'x', 1, 'first')).toBe('{\n  "x": 1\n}');
  });
});
