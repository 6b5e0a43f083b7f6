import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logger } from '../plugin/workspace-nx';
import { LoopbackServer, serve, sha256Of } from '../resources/loopback-server.fixture';
import { fetch as fetchExecutor } from './tasks';

let root: string;
let server: LoopbackServer;
let logged: string[];
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'nx-igvm-fetch-'));
  server = await LoopbackServer.start(serve(Buffer.from('a kernel')));
  logged = [];
  for (const level of ['info', 'error'] as const) {
    jest.spyOn(logger, level).mockImplementation((text: unknown) => void logged.push(String(text)));
  }
});
afterEach(async () => {
  jest.restoreAllMocks();
  await server.close();
  rmSync(root, { recursive: true });
});

const SHA256 = sha256Of('a kernel');

const run = (resources: object) => {
  const image = { linux: { use_initrd: true, command_line: '' } };
  const guests = [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image }];
  writeFileSync(join(root, 'igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources }));
  return fetchExecutor({ manifest: 'igvm.json', downloads: 'kept' }, { root });
};

describe('nx-igvm:fetch', () => {
  it('downloads what the images use, even if other resources are not built yet', async () => {
    const linux_initrd = { project: 'initrd', target: 'build', path: 'dist/not-yet.cpio' };
    const uefi = { url: 'http://127.0.0.1:9/unused', sha256: SHA256 };
    const linux_kernel = { url: server.url().href, sha256: SHA256 };
    expect(await run({ linux_kernel, linux_initrd, uefi })).toEqual({ success: true });
    expect(readFileSync(join(root, 'kept', SHA256, 'file'), 'utf8')).toBe('a kernel');
    expect(logged).toEqual([`downloading ${server.url().href} (8 bytes)`, `${server.url().href} is downloaded`]);
    expect(await run({ linux_kernel })).toEqual({ success: true });
    expect(server.requests).toHaveLength(1);
  });

  it('names the place of a resource that it cannot download', async () => {
    const linux_kernel = { url: server.url().href, sha256: '0'.repeat(64) };
    expect(await run({ linux_kernel })).toEqual({ success: false });
    expect(logged.join('\n')).toMatch(
      /^igvm\.json:1:\d+: http.* has the SHA-256 .* \(at resources\.linux_kernel\) \[RESOURCE_DIGEST\]/m,
    );
  });

  it('has nothing to do for a manifest without URLs', async () => {
    expect(await run({ linux_kernel: 'vmlinuz' })).toEqual({ success: true });
    expect(logged).toEqual(['igvm.json names no URL that its images use']);
  });
});
