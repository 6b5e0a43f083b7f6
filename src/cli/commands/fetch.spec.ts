import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LoopbackServer, serve, sha256Of } from '../../resources/loopback-server.fixture';
import { NX_IGVM, run } from '../programs';

let cwd: string;
let server: LoopbackServer;
beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'nx-igvm-fetch-'));
  server = await LoopbackServer.start(serve(Buffer.from('a kernel')));
});
afterEach(async () => {
  await server.close();
  rmSync(cwd, { recursive: true });
});

async function fetch(...args: string[]) {
  const shown = { stdout: '', stderr: '' };
  const stdout = (text: string): void => void (shown.stdout += text);
  const stderr = (text: string): void => void (shown.stderr += text);
  const code = await run(NX_IGVM, ['fetch', '--downloads', 'kept', ...args], {
    cwd,
    stdout,
    stderr,
    isInteractive: false,
  });
  return { code, ...shown };
}

const SHA256 = sha256Of('a kernel');

describe('nx-igvm fetch', () => {
  it('prints a resource to paste, and nothing else to stdout', async () => {
    const { code, stdout, stderr } = await fetch(server.url('/k?v=1').href);
    expect([code, JSON.parse(stdout)]).toEqual([0, { url: server.url('/k?v=1').href, sha256: SHA256 }]);
    expect(stderr).toContain(`saved as ${join(cwd, 'kept', SHA256, 'file')}`);
  });

  it('checks the digest of a download', async () => {
    expect((await fetch(server.url().href, '--sha256', SHA256.toUpperCase())).code).toBe(0);
    const { code, stdout, stderr } = await fetch(server.url().href, '--sha256', '0'.repeat(64));
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`has the SHA-256 ${SHA256}`);
  });

  it('prints no password', async () => {
    const url = Object.assign(server.url(), { username: 'me', password: 'secret' }).href;
    const { stdout, stderr } = await fetch(url);
    expect(server.requests[0]?.authorization).toMatch(/^Basic /);
    expect(`${stdout}${stderr}`).not.toContain('secret');
    expect(stderr).toContain('warning: the password of the URL is left out of the resource');
  });

  it.each([
    [['ftp://host/x'], 'DOWNLOAD_REFUSED'],
    [['vmlinuz'], 'DOWNLOAD_REFUSED'],
    [['http://127.0.0.1:9/x', '--download-limit', 'much'], 'DOWNLOAD_REFUSED'],
    [['http://127.0.0.1:9/x'], 'DOWNLOAD_FAILED'],
  ])('refuses %j', async (args, expected) => {
    const { code, stdout, stderr } = await fetch(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`[${expected}]`);
  });
});
