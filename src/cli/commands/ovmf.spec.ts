import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ovmfFirmware } from '../../loader/ovmf/ovmf-firmware.fixture';
import { NX_IGVM, run } from '../programs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-update-'));
  writeFileSync(join(folder, 'fw.fd'), ovmfFirmware());
  writeFileSync(join(folder, 'kernel.efi'), new Uint8Array(5000).fill(1));
  writeFileSync(join(folder, 'other.efi'), new Uint8Array(9000).fill(2));
  writeFileSync(join(folder, 'empty.efi'), '');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function nxIgvm(...args: string[]): Promise<{ exitCode: number; stderr: string }> {
  let stderr = '';
  const environment = {
    cwd: folder,
    stdout: () => undefined,
    stderr: (text: string) => void (stderr += text),
    isInteractive: false,
  };
  return { exitCode: await run(NX_IGVM, args, environment), stderr };
}

const update = (input: string, output: string, ...args: string[]) =>
  nxIgvm('update', '-i', input, '-o', output, ...args);
const isSame = (a: string, b: string): boolean => readFileSync(join(folder, a)).equals(readFileSync(join(folder, b)));

describe('nx-igvm update of an image that was updated before', () => {
  beforeEach(() => nxIgvm('wrap', '-i', 'fw.fd', '-o', 'wrapped.igvm', '--snp'));

  it('reports what it replaces, also if the output is the input', async () => {
    await update('wrapped.igvm', 'image.igvm', '-k', 'kernel.efi');
    await update('wrapped.igvm', 'expected.igvm', '-k', 'other.efi');
    expect(await update('image.igvm', 'image.igvm', '-k', 'other.efi')).toEqual({
      exitCode: 0,
      stderr: 'replaced kernel\n',
    });
    expect(isSame('image.igvm', 'expected.igvm')).toBe(true);
  });

  it('warns when Secure Boot is lost', async () => {
    expect(await update('wrapped.igvm', 'image.igvm', '-s', 'kernel.efi', '-k', 'other.efi', '--add-cert-ms')).toEqual({
      exitCode: 0,
      stderr: '',
    });
    expect((await update('image.igvm', 'again.igvm', '-k', 'other.efi', '--add-cert-ms')).stderr).toBe(
      'replaced PK, KEK, db, dbx, shim, kernel\n',
    );
    expect((await update('image.igvm', 'less.igvm', '-k', 'other.efi')).stderr).toBe(
      'replaced PK, KEK, db, dbx, shim, kernel\n' +
        'warning: the image no longer has Secure Boot; repeat its options to keep it\n',
    );
  });

  it('warns when pages of a program stay, as igvm-update leaves them', async () => {
    await update('wrapped.igvm', 'image.igvm', '-k', 'kernel.efi');
    expect((await update('image.igvm', 'emptied.igvm', '-k', 'empty.efi')).stderr).toBe(
      'warning: the programs are empty, and the pages of kernel stay in the image; update --remove removes them\n',
    );
    expect((await update('emptied.igvm', 'removed.igvm', '--remove')).stderr).toBe('removed kernel\n');
    expect(isSame('removed.igvm', 'wrapped.igvm')).toBe(true);
  });

  it('removes an earlier update, and reports when there is none', async () => {
    await update('wrapped.igvm', 'image.igvm', '-k', 'kernel.efi', '--add-cert-ms');
    expect(await update('image.igvm', 'image.igvm', '--remove')).toEqual({
      exitCode: 0,
      stderr: 'removed PK, KEK, db, dbx, kernel\n',
    });
    expect(isSame('image.igvm', 'wrapped.igvm')).toBe(true);
    expect(await update('image.igvm', 'image.igvm', '--remove')).toEqual({
      exitCode: 0,
      stderr: 'there was nothing to remove\n',
    });
    expect(isSame('image.igvm', 'wrapped.igvm')).toBe(true);
  });

  it.each(['--shim=kernel.efi', '--kernel=kernel.efi', '--add-hash', '--add-cert-ms', '--profile=none', '--arch=x64'])(
    'refuses to remove and add at the same time: %s',
    async (option) => {
      const { exitCode, stderr } = await update('wrapped.igvm', 'image.igvm', '--remove', option);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/^error: .*cannot be used with/);
      expect(readdirSync(folder)).not.toContain('image.igvm');
    },
  );

  it('removes nothing if the firmware takes no programs', async () => {
    writeFileSync(join(folder, 'plain.fd'), new Uint8Array(0x10000).fill(1));
    await nxIgvm('wrap', '-i', 'plain.fd', '-o', 'plain.igvm');
    const { exitCode, stderr } = await update('plain.igvm', 'image.igvm', '--remove');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error: plain\.igvm: .*\[OVMF_UNSUITABLE\]\n/);
    expect(readdirSync(folder)).not.toContain('image.igvm');
  });
});
