import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fakeQemu } from '../../boot/fake-vmm.fixture';
import { loadElf, nativeImage } from '../../boot/native-image.fixture';
import { crc32, sha256Hex } from '../../files/hashes';
import { memorySink } from '../../igvm/file-data';
import { writeIgvm } from '../../igvm/write-igvm';
import { NX_IGVM, run } from '../programs';

/** The messages of the command before the guest's output. */
const WAY = 'nx-igvm: QEMU 7.2.22 with TCG boots the image as a PVH kernel (way pvh)\n';

describe('the commands boot and export', () => {
  let folder: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-cli-boot-'));
    const sink = memorySink();
    await writeIgvm(nativeImage(), sink, { crc32, sha256Hex });
    writeFileSync(join(folder, 'my.igvm'), sink.bytes());
    fakeQemu(folder, { name: 'qemu', output: 'login: ' });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function nxIgvm(...args: string[]) {
    const output = { code: 0, stdout: '', stderr: '' };
    output.code = await run(NX_IGVM, args, {
      cwd: folder,
      stdout: (text) => void (output.stdout += text),
      stderr: (text) => void (output.stderr += text),
      isInteractive: false,
    });
    return output;
  }
  const boot = (...args: string[]) =>
    nxIgvm('boot', 'my.igvm', `--vmm-path=${join(folder, 'qemu')}`, '--accel=tcg', ...args);

  it('show the guest’s output, and pass on the arguments after --', async () => {
    const { code, stdout, stderr } = await boot('--cpus', '2', '--memory=1G', '--', '-device', 'virtio-rng-pci');
    expect({ code, stderr }).toEqual({ code: 0, stderr: WAY });
    expect(stdout).toContain('login: ');
    expect(stdout).toContain('"-smp","2","-m","1024M"');
    expect(stdout).toContain('"-device","virtio-rng-pci"]');
  });

  it('return 1 when the output never matches, 0 when it does', async () => {
    expect(await boot('--until', '^login: $')).toMatchObject({ code: 0 });
    const { code, stderr } = await boot('--until', 'Welcome');
    expect(code).toBe(1);
    expect(stderr.replace(WAY, '')).toMatch(
      /^error: my\.igvm: the guest printed nothing that matches \/Welcome\/ .*\[BOOT_NO_MATCH\]/,
    );
  });

  it('return 2 for invalid values and unknown choices', async () => {
    expect(await boot('--cpus=two')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cpus is "two", which'),
    });
    expect((await boot('--timeout=soon')).code).toBe(2);
    expect((await boot('--memory=much')).code).toBe(2);
    const exported = await nxIgvm('export', 'my.igvm', '--cpus', 'x');
    expect(exported.stderr).toMatch(/^error: cpus is "x", which is not a number \[BOOT_OPTION\]\n {2}.*\n$/);
    expect(exported.code).toBe(2);
    expect((await boot('--tables=mine')).code).toBe(2);
    expect((await boot('--vmm=bhyve')).code).toBe(2);
  });

  it('write an ELF kernel and describe it', async () => {
    const { code, stdout } = await nxIgvm('export', 'my.igvm', '--format=pvh', '--tables=image', '--memory=256M');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^my\.elf: 1 MiB, PVH entry at 0x100180, with the image's tables; needs 256 MiB of memory\n$/,
    );
    expect(loadElf(readFileSync(join(folder, 'my.elf'))).entry).toBe(0x100180);
  });

  it('accept both spellings of an option, and show one of them in messages and help', async () => {
    for (const option of ['--vmm-path', '--vmmPath']) {
      const { code } = await nxIgvm('boot', 'my.igvm', '--accel=tcg', option, join(folder, 'qemu'));
      expect(code).toBe(0);
    }
    const { stdout } = await nxIgvm('boot', '--help');
    expect(stdout).toContain('--vmm-path <program>');
    expect(stdout).toContain('--command-line <text>');
    expect(stdout).not.toMatch(/vmmPath|commandLine/);
    const missing = await nxIgvm('boot', 'my.igvm', '--vmm-path=./nowhere');
    expect(missing.stderr).not.toContain('vmmPath');
  });

  it('explain where arguments for the VMM go, and refuse misspelt options', async () => {
    const device = await boot('-device', 'virtio-rng-pci');
    expect(device).toMatchObject({ code: 2, stdout: '' });
    expect(device.stderr).toContain('go after --, as in: nx-igvm boot IMAGE -- -device virtio-rng-pci');
    const misspelt = await boot('--comand-line=x');
    expect(misspelt).toMatchObject({ code: 2, stdout: '' });
    expect(misspelt.stderr).toContain('Did you mean --command-line?');
  });

  it('do not overwrite the image', async () => {
    const { code, stderr } = await nxIgvm('export', 'my.igvm', '-o', './my.igvm');
    expect(code).toBe(1);
    expect(stderr).toContain('[FILE_UNWRITABLE]');
  });
});
