import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needing, skippedFor } from '../src/boot/needing.fixture';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { debianKernel, needingKernel } from './debian-kernel';
import { run, runOk, type RunResult } from './harness/run';
import { REPOSITORY } from './harness/template';
import { installedOvmf, makeUki, ovmfWithIgvm, UKI_STUB } from './ovmf-firmware';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-e2e-ovmf-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const nxIgvm = [join(REPOSITORY, 'dist/cli/nx-igvm.js')];
const cli = (...args: string[]) => runOk(process.execPath, [...nxIgvm, ...args], { cwd: folder });
const boot = (image: string, ...args: string[]): Promise<RunResult> =>
  run(process.execPath, [...nxIgvm, 'boot', image, '--way=bios', '--accel=tcg', '--timeout=120', ...args], {
    cwd: folder,
  });

const installed = installedOvmf();
needing('qemu-system-x86_64', installed?.code ?? '/usr/share/OVMF/OVMF_CODE_4M.fd').describe(
  'the OVMF of this system in an image, on stock QEMU',
  () => {
    it('reaches its boot manager', async () => {
      await cli('wrap', '--input', installed!.code, '--vars', installed!.vars, '-o', 'ovmf.igvm');
      // Newer OVMF has no shell.
      const { status, output } = await boot('ovmf.igvm', '--until', 'BdsDxe: (?:No bootable option|starting Boot)');
      expect({ status, output }).toEqual({
        status: 0,
        output: expect.stringContaining("with TCG starts the image's firmware (way bios)") as string,
      });
    });
  },
);

const firmware = ovmfWithIgvm();
const { describe: withFirmware } =
  firmware === undefined
    ? skippedFor('OVMF of edk2-stable202511 or newer')
    : needingKernel('amd64', 'qemu-system-x86_64', 'busybox', 'objcopy', UKI_STUB);

withFirmware('OVMF with a UKI in an image, on stock QEMU', () => {
  const COMMAND_LINE = 'console=ttyS0 panic=-1 from=the-uki';

  it('starts the UKI that was added last, reaches userspace, and powers off', async () => {
    writeFileSync(join(folder, 'ovmf.fd'), firmware!);
    await makeBootInitrd(join(folder, 'initrd.cpio.gz'));
    const { vmlinuz } = debianKernel();
    const parts = { kernel: vmlinuz, initrd: join(folder, 'initrd.cpio.gz'), commandLine: COMMAND_LINE };
    await makeUki(join(folder, 'linux.efi'), parts);
    await cli('wrap', '--input', 'ovmf.fd', '--snp', '-o', 'wrapped.igvm');
    await cli('update', '--input', 'wrapped.igvm', '--shim', UKI_STUB, '--add-cert-ms', '-o', 'guest.igvm');
    await cli('update', '--input', 'guest.igvm', '--kernel', 'linux.efi', '-o', 'guest.igvm');
    // The UKI alone makes the same guest as its parts.
    await cli('pack', 'linux.efi', '-o', 'whole.igvm');
    await cli('pack', vmlinuz, '-i', 'initrd.cpio.gz', '-c', COMMAND_LINE, '-o', 'apart.igvm');
    const packed = ['whole.igvm', 'apart.igvm'].map((name) => readFileSync(join(folder, name)));
    expect(packed[0]!.equals(packed[1]!)).toBe(true);
    const { status, output } = await boot('guest.igvm', '--memory=1G');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
    expect(output).toContain(`guest: command line: ${COMMAND_LINE}`);
    expect(output).toContain('reboot: Power down');
  });
});
