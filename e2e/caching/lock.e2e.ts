import { renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { changed } from '../harness/inputs';
import { Workspace } from '../harness/workspace';
import { bytesOf } from './images';

/** The measurement lock that `verify` reads, tracked, and through a link. */
describe.each(['tracked', 'link'])('a measurement lock, %s', (where) => {
  let workspace: Workspace;
  const LOCK = 'enclave/igvm.lock.json';
  const verify = (): Promise<string> => workspace.state('enclave', 'verify');

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nxOk('g', 'nx-igvm:guest-image', 'enclave', '--type=snp-linux-direct');
    workspace.write('enclave/boot/vmlinuz', bytesOf('linux_kernel'));
    workspace.write('enclave/boot/initrd.cpio', bytesOf('linux_initrd'));
    await workspace.nxOk('run', 'enclave:measure', '--update-lock');
    if (where === 'link') {
      renameSync(workspace.path(LOCK), join(workspace.outside, 'lock.json'));
      symlinkSync(join(workspace.outside, 'lock.json'), workspace.path(LOCK));
    }
    await workspace.commit('enclave');
  });
  afterAll(() => workspace.dispose());

  it('is verified each time', async () => {
    expect(await verify()).toBe('built');
    expect(await verify()).toBe('built');
  });

  it('that differs fails, every time', async () => {
    const lock = workspace.read(LOCK);
    const digest = /"([0-9a-fA-F]{96})"/.exec(lock.toString())?.[1] as string;
    workspace.write(
      LOCK,
      lock.toString().replaceAll(
        digest,
        digest.replace(/^./, (first) => (first === '0' ? '1' : '0')),
      ),
    );
    expect(await verify()).toBe('failed');
    expect(await verify()).toBe('failed');
    workspace.write(LOCK, lock);
    expect(await verify()).toBe('built');
  });

  it('detects a changed binary, and matches it after an update', async () => {
    workspace.write('enclave/boot/initrd.cpio', changed(bytesOf('linux_initrd')));
    const { status, output } = await workspace.nx('verify', 'enclave');
    expect(status).not.toBe(0);
    expect(output).toContain('[LOCK_MISMATCH]');
    expect(output).toMatch(/initrd/i);
    // Outputs never replace links.
    if (where === 'link') rmSync(workspace.path(LOCK));
    await workspace.nxOk('run', 'enclave:measure', '--update-lock');
    expect(await verify()).toBe('built');
  });
});
