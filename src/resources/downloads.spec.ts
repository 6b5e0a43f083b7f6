import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildManifest } from '../builder/build-manifest';
import { bytes, bzImageFile } from '../loader/formats/kernel.fixture';
import { IgvmError } from '../errors/igvm-error';
import { discardDamaged, fetchReference, fetchUnpinned } from './downloads';
import { downloadFolder } from './download-folder';
import { LoopbackServer, serve, sha256Of } from './loopback-server.fixture';
import type { UrlReference } from './resource-reference';

const KERNEL = randomBytes(100_000);
let root: string;
let archive: Buffer;
let server: LoopbackServer;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'igvm-downloads-')));
  mkdirSync(join(root, 'tree/boot'), { recursive: true });
  writeFileSync(join(root, 'tree/boot/vmlinuz'), KERNEL);
  spawnSync('tar', ['-czf', 'a.tgz', '-C', 'tree', 'boot'], { cwd: root });
  archive = readFileSync(join(root, 'a.tgz'));
  server = await LoopbackServer.start((request, response, number) =>
    serve(request.url === '/a.tgz' ? archive : KERNEL)(request, response, number),
  );
});
afterEach(async () => {
  await server.close();
  rmSync(root, { recursive: true });
});

const options = () => ({ folder: join(root, 'downloads'), wait: 1, patience: 300, attempts: 2 });
const fetch = (reference: Partial<UrlReference>, path = '/a.tgz') =>
  fetchReference({ kind: 'url', url: server.url(path).href, ...reference }, {}, options());
const member = () => fetch({ sha256: sha256Of(archive), member: 'boot/vmlinuz' });
const folder = () => join(root, 'downloads', sha256Of(archive));

async function failureOf(promise: Promise<unknown>): Promise<IgvmError> {
  const error: unknown = await promise.catch((caught: unknown) => caught);
  if (!(error instanceof IgvmError)) throw new Error(`expected a failure, not ${String(error)}`);
  return error;
}

describe('a resource by URL', () => {
  it('is stored in the download folder under its digest', async () => {
    const { path, sha256, display } = await fetch({ sha256: sha256Of(KERNEL) }, '/kernel?token=secret');
    expect(path).toBe(join(root, 'downloads', sha256Of(KERNEL), 'file'));
    expect(readFileSync(path).equals(KERNEL)).toBe(true);
    expect([sha256, display]).toEqual([sha256Of(KERNEL), `http://127.0.0.1:${server.port}/kernel?…`]);
  });

  it('may be a member of an archive that is unpacked once', async () => {
    const { path, sha256, display } = await member();
    expect(readFileSync(path).equals(KERNEL)).toBe(true);
    expect([sha256, display]).toEqual([sha256Of(KERNEL), `http://127.0.0.1:${server.port}/a.tgz (boot/vmlinuz)`]);
    // Without the archive, it can only come from the earlier unpacking.
    rmSync(join(folder(), 'file'));
    expect(await member()).toEqual({ path, sha256, display });
    expect(server.requests).toHaveLength(1);
    expect(readdirSync(folder())).toHaveLength(1);
  });

  it('is available offline once it has been fetched', async () => {
    const before = [await fetch({ sha256: sha256Of(KERNEL) }, '/kernel'), await member()];
    await server.close();
    expect([await fetch({ sha256: sha256Of(KERNEL) }, '/kernel'), await member()]).toEqual(before);
    expect((await failureOf(fetch({ sha256: '1'.repeat(64) }, '/kernel'))).code).toBe('DOWNLOAD_FAILED');
    server = await LoopbackServer.start(serve(KERNEL));
  });

  it('without a digest is an error that names the actual digest', async () => {
    const error = await failureOf(fetch({}, '/kernel'));
    expect(error.code).toBe('RESOURCE_UNPINNED');
    expect(error.message).toContain(`add "sha256": "${sha256Of(KERNEL)}"`);
    await fetch({ sha256: sha256Of(KERNEL) }, '/kernel');
    expect(server.requests).toHaveLength(1);
  });

  it('with an invalid digest never becomes a path', async () => {
    expect((await failureOf(fetch({ sha256: '../../x' }))).code).toBe('RESOURCE_UNPINNED');
    expect(server.requests).toHaveLength(0);
  });

  it('can report its digest', async () => {
    const reference = { url: server.url('/a.tgz').href, member: 'boot/vmlinuz' };
    const { sha256, download } = await fetchUnpinned(reference, options());
    expect([sha256, download.sha256]).toEqual([sha256Of(archive), sha256Of(KERNEL)]);
    expect(server.requests).toHaveLength(1);
  });

  it('is not unpacked from an archive that has been damaged since', async () => {
    await member();
    const [name = ''] = readdirSync(folder()).filter((each) => each.startsWith('member-'));
    rmSync(join(folder(), name));
    writeFileSync(join(folder(), 'file'), 'damaged');
    expect(readFileSync((await member()).path).equals(KERNEL)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  it('that cannot be unpacked leaves only the archive behind', async () => {
    expect((await failureOf(fetch({ sha256: sha256Of(archive), member: 'boot/other' }))).code).toBe('ARCHIVE_MEMBER');
    expect(readdirSync(folder())).toEqual(['file']);
  });

  it('is discarded when its file has changed', async () => {
    const download = await member();
    expect(discardDamaged([download])).toBe(false);
    writeFileSync(download.path, 'damaged');
    expect(discardDamaged([download])).toBe(true);
    expect(readFileSync((await member()).path).equals(KERNEL)).toBe(true);
  });
});

describe('a build from URLs', () => {
  const build = async (resource: object) => {
    const image = { linux: { use_initrd: false, command_line: '', memory_size: 2 ** 26, boot_data: 'embedded' } };
    const guests = [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image }];
    const manifest = { guest_arch: 'x64', guest_configs: guests, resources: { linux_kernel: resource } };
    writeFileSync(join(root, 'igvm.json'), JSON.stringify(manifest));
    const output = join(root, 'out', 'a.igvm');
    await buildManifest({
      manifest: join(root, 'igvm.json'),
      output,
      downloads: options(),
      display: () => 'igvm.json',
    });
    return readFileSync(output);
  };

  it('produces the same image as one from files, and replaces damaged files', async () => {
    const kernel = Buffer.from(bzImageFile(bytes(0x3000, 1)));
    await server.close();
    server = await LoopbackServer.start(serve(kernel));
    writeFileSync(join(root, 'vmlinux'), kernel);
    const expected = await build({ path: 'vmlinux' });
    const resource = { url: server.url().href, sha256: sha256Of(kernel) };
    expect((await build(resource)).equals(expected)).toBe(true);
    const kept = join(root, 'downloads', sha256Of(kernel), 'file');
    const damaged = Buffer.from(kernel);
    damaged[damaged.length - 1]! ^= 1;
    writeFileSync(kept, damaged);
    expect((await build(resource)).equals(expected)).toBe(true);
    expect(readFileSync(kept).equals(kernel)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  it('names the location in the manifest of a resource that is unavailable', async () => {
    const error = await failureOf(build({ url: 'http://127.0.0.1:9/vmlinuz', sha256: '0'.repeat(64) }));
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      where: { file: 'igvm.json', line: 1, jsonPath: ['resources', 'linux_kernel'] },
    });
  });

  it.each([
    [
      { url: 'ftp://me:secret@host/vmlinuz', sha256: '0'.repeat(64) },
      'MANIFEST_INVALID',
      'a URL that begins with https:// or http://',
    ],
    [{ url: 'https://host/a', sha256: 'abc' }, 'MANIFEST_INVALID', '64 hexadecimal digits'],
    [{ url: 'https://host/a', member: '' }, 'MANIFEST_INVALID', 'a path in the archive'],
    [{ url: 'https://host/a', path: 'b' }, 'MANIFEST_INVALID', 'found an object with the keys url, path'],
  ])('refuses %j', async (resource, code, message) => {
    const error = await failureOf(build(resource));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    expect(error.format()).not.toContain('secret');
  });
});

describe('the folder of downloads', () => {
  it('is set by an option or a variable, or is the default of the system', () => {
    expect(downloadFolder('sub', '/workspace', { NX_IGVM_DOWNLOADS: '/variable' })).toBe('/workspace/sub');
    expect(downloadFolder(undefined, '/workspace', { NX_IGVM_DOWNLOADS: '/variable' })).toBe('/variable');
    expect(downloadFolder(undefined, '/workspace', { NX_IGVM_DOWNLOADS: 'relative' })).toBe('/workspace/relative');
    expect(downloadFolder(undefined, '/workspace', { XDG_CACHE_HOME: '/caches' })).toBe('/caches/nx-igvm/downloads');
    expect(downloadFolder(undefined, '/workspace', { NX_IGVM_DOWNLOADS: '', XDG_CACHE_HOME: 'relative' })).toMatch(
      /^\/.*\/nx-igvm\/downloads$/,
    );
  });
});
