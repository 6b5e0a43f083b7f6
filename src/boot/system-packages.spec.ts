import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CLOUD_HYPERVISOR_PACKAGE,
  howToInstall,
  installLine,
  type InstallSystem,
  PACKAGE_MANAGERS,
  QEMU_PACKAGE,
} from './system-packages';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-packages-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A machine with these programs. */
function machine(platform: NodeJS.Platform, programs: string[], isRoot = false): InstallSystem {
  for (const program of programs) {
    writeFileSync(join(folder, program), '');
    chmodSync(join(folder, program), 0o755);
  }
  return { platform, search: folder, isRoot };
}

describe('how to install a VMM', () => {
  it.each<[NodeJS.Platform, string, string]>([
    ['linux', 'apt-get', 'sudo apt-get update && sudo apt-get install --yes --no-install-recommends qemu-system-x86'],
    ['linux', 'dnf', 'sudo dnf install --assumeyes qemu-system-x86'],
    ['linux', 'pacman', 'sudo pacman -S --needed --noconfirm qemu-system-x86'],
    ['darwin', 'brew', 'brew install qemu'],
    ['win32', 'winget', 'winget install --exact SoftwareFreedomConservancy.QEMU'],
  ])('on %s with %s', (platform, program, line) => {
    expect(installLine([QEMU_PACKAGE], machine(platform, [program, 'sudo']))).toBe(line);
  });

  it('uses su where there is no sudo', () => {
    expect(installLine([QEMU_PACKAGE], machine('linux', ['apt-get']))).toBe(
      "su -c 'apt-get update && apt-get install --yes --no-install-recommends qemu-system-x86'",
    );
  });

  it('uses no sudo for root', () => {
    expect(installLine([QEMU_PACKAGE], machine('linux', ['dnf'], true))).toBe(
      'dnf install --assumeyes qemu-system-x86',
    );
  });

  it('uses the package manager of the platform', () => {
    expect(installLine([QEMU_PACKAGE], machine('darwin', ['apt-get', 'brew']))).toBe('brew install qemu');
    expect(installLine([QEMU_PACKAGE], machine('win32', ['apt-get']))).toBeUndefined();
  });

  it('is a command for programs that the package manager has, and otherwise links', () => {
    const vmms = [QEMU_PACKAGE, CLOUD_HYPERVISOR_PACKAGE];
    expect(howToInstall(vmms, machine('linux', ['dnf', 'sudo']))).toBe(
      '"sudo dnf install --assumeyes qemu-system-x86" installs QEMU on this system',
    );
    const page = 'Cloud Hypervisor is at https://github.com/cloud-hypervisor/cloud-hypervisor/releases';
    expect(howToInstall(vmms, machine('win32', ['winget']))).toMatch(/installs QEMU on this system; add .* to PATH/);
    expect(howToInstall([CLOUD_HYPERVISOR_PACKAGE], machine('linux', ['dnf']))).toBe(page);
    expect(howToInstall(vmms, machine('freebsd', []))).toBe(`QEMU is at https://www.qemu.org/download/, ${page}`);
  });

  it('names QEMU for every package manager', () => {
    for (const { name } of PACKAGE_MANAGERS) expect(QEMU_PACKAGE.packages).toHaveProperty(name);
  });
});
