import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import type { Tree } from '@nx/devkit';
import { parseManifest } from '../../manifest/load-manifest';
import { logger } from '../../plugin/workspace-nx';
import { LoopbackServer, serve, sha256Of } from '../../resources/loopback-server.fixture';
import { guestImageGenerator } from './generator';

let tree: Tree;
let warnings: jest.SpyInstance<void, [string]>;
const manifestText = (): string => tree.read('my-image/igvm.json', 'utf8') ?? '';
const generate = async (options: { kernel: string; initrd?: string }) => {
  await guestImageGenerator(tree, { ...options, name: 'my-image' });
  return parseManifest(manifestText(), 'igvm.json', { strict: true }).manifest;
};

describe('guest-image with a URL', () => {
  let server: LoopbackServer;
  let downloads: string;
  beforeEach(async () => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    warnings = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    server = await LoopbackServer.start(serve(Buffer.from('a kernel')));
    downloads = mkdtempSync(join(tmpdir(), 'igvm-generator-'));
    process.env['NX_IGVM_DOWNLOADS'] = downloads;
    jest.spyOn(logger, 'info').mockImplementation(() => {});
  });
  afterEach(async () => {
    delete process.env['NX_IGVM_DOWNLOADS'];
    jest.restoreAllMocks();
    await server.close();
    rmSync(downloads, { recursive: true });
  });

  it('pins the kernel to the content that the server returns', async () => {
    const { resources } = await generate({ kernel: server.url().href, initrd: 'none' });
    expect(resources).toEqual({ linux_kernel: { url: server.url().href, sha256: sha256Of('a kernel') } });
    expect(tree.read('my-image/README.md', 'utf8')).toContain(`\`${server.url().href}\``);
    expect(warnings).not.toHaveBeenCalled();
  });

  it('fails for a missing member, and writes nothing', async () => {
    await expect(generate({ kernel: `${server.url().href}#boot/vmlinuz` })).rejects.toThrow('is not an archive');
    expect(tree.exists('my-image')).toBe(false);
  });

  it('writes no password', async () => {
    const url = Object.assign(server.url(), { username: 'me', password: 'secret' }).href;
    await generate({ kernel: url, initrd: 'none' });
    expect(manifestText()).not.toContain('secret');
    expect(warnings.mock.calls.flat().join()).toMatch(
      /^kernel: the password of http:[^@]* is left out of the manifest$/,
    );
  });
});
