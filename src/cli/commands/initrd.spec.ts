import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { GUEST_INIT } from '../../initrd/guest-init';
import { NX_IGVM, run } from '../programs';

describe('the command initrd', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-cli-initrd-'));
    mkdirSync(join(folder, 'root'));
    writeFileSync(join(folder, 'root', 'init'), '#!/hi');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function initrd(...args: string[]) {
    const output = { code: 0, stdout: '', stderr: '' };
    output.code = await run(NX_IGVM, ['initrd', ...args], {
      cwd: folder,
      stdout: (text) => void (output.stdout += text),
      stderr: (text) => void (output.stderr += text),
      isInteractive: false,
    });
    return output;
  }

  it('packs a folder', async () => {
    expect(await initrd('root')).toEqual({ code: 0, stdout: 'initrd.cpio: 512 bytes, 1 entry\n', stderr: '' });
    expect(readFileSync(join(folder, 'initrd.cpio'), 'latin1')).toMatch(/^070701.*init\0+#!\/hi\0/s);
  });

  it('packs what an initrd.json describes, in another format on request', async () => {
    writeFileSync(join(folder, 'initrd.json'), JSON.stringify({ folder: 'root', directories: ['/dev'] }));
    const { code, stdout } = await initrd('initrd.json', '--compression=gzip', '-o', 'out.gz');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^out\.gz: \d+ bytes, \d+ before gzip, 2 entries\n$/) as string,
    });
    expect(gunzipSync(readFileSync(join(folder, 'out.gz'))).toString('latin1')).toContain('dev\0');
  });

  it('adds a first program on request, for both kinds of source', async () => {
    rmSync(join(folder, 'root', 'init'));
    expect((await initrd('root', '--init=x64')).code).toBe(0);
    expect(readFileSync(join(folder, 'initrd.cpio')).includes(Buffer.from(GUEST_INIT.x64))).toBe(true);
    writeFileSync(join(folder, 'initrd.json'), JSON.stringify({ folder: 'root', init: 'x64' }));
    expect((await initrd('initrd.json', '--init=aarch64')).code).toBe(0);
    expect(readFileSync(join(folder, 'initrd.cpio')).includes(Buffer.from(GUEST_INIT.aarch64))).toBe(true);
  });

  it('warns about a folder without a program to start, unless that is intended', async () => {
    rmSync(join(folder, 'root', 'init'));
    const { code, stderr } = await initrd('root');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^warning: there is no "init" at the top of root, .*\n$/) as string,
    });
    expect(await initrd('root', '--init=none')).toMatchObject({ code: 0, stderr: '' });
  });

  it('overwrites neither the initrd.json nor a file in the folder that it packs', async () => {
    writeFileSync(join(folder, 'initrd.json'), JSON.stringify({ folder: 'root' }));
    expect((await initrd('initrd.json', '-o', 'initrd.json')).stderr).toContain('[FILE_UNWRITABLE]');
    expect((await initrd('root', '-o', 'root/initrd.cpio')).stderr).toContain('[INITRD_ENTRY]');
    expect(readdirSync(join(folder, 'root'))).toEqual(['init']);
  });

  it('reports a source that is a link to itself', async () => {
    symlinkSync('loop', join(folder, 'loop'));
    const { code, stderr } = await initrd('loop');
    expect(code).toBe(1);
    expect(stderr).toContain('[FILE_UNREADABLE]');
  });

  it('names a missing file', async () => {
    const { code, stderr } = await initrd('nothing');
    expect(code).toBe(1);
    expect(stderr).toContain('[FILE_UNREADABLE]');
  });
});
