import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GUEST_INIT, type InitArchitecture } from '../src/initrd/guest-init';
import { packInitrd } from '../src/initrd/pack-initrd';
import { debianKernel, needingKernel } from './debian-kernel';

interface Machine {
  debian: 'amd64' | 'arm64';
  qemu: string;
  options: string[];
  console: string;
  uname: string;
}

const MACHINES: Record<InitArchitecture, Machine> = {
  x64: {
    debian: 'amd64',
    qemu: 'qemu-system-x86_64',
    options: ['-machine', 'q35,accel=tcg'],
    console: 'ttyS0',
    uname: 'x86_64',
  },
  aarch64: {
    debian: 'arm64',
    qemu: 'qemu-system-aarch64',
    options: ['-machine', 'virt,accel=tcg', '-cpu', 'cortex-a57'],
    console: 'ttyAMA0',
    uname: 'aarch64',
  },
};

describe.each(Object.entries(MACHINES) as [InitArchitecture, Machine][])(
  'the first program for %s',
  (arch, machine) => {
    const { it: booted } = needingKernel(machine.debian, machine.qemu);
    let folder: string;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'nx-igvm-guest-init-'));
      const bin = join(folder, 'rootfs', 'bin');
      mkdirSync(bin, { recursive: true });
      // Programs with a known result: one that only works as the first program, and one that no processor can run.
      writeFileSync(join(bin, 'second'), GUEST_INIT[arch]);
      writeFileSync(join(bin, 'garbage'), 'garbage');
      writeFileSync(join(bin, 'text'), 'text');
      await packInitrd({
        folder: join(folder, 'rootfs'),
        output: join(folder, 'initrd.cpio'),
        compression: 'none',
        init: arch,
        modes: { '/bin/garbage': '755' },
      });
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    /** The output of a guest from its first program on, and the exit of its VM. */
    function boot(commandLine: string): { status: number | null; lines: string[] } {
      const { vmlinuz } = debianKernel(machine.debian);
      const vm = ['-m', '384M', '-smp', '2', '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'];
      const guest = ['-kernel', vmlinuz, '-initrd', join(folder, 'initrd.cpio')];
      const append = ['-append', `console=${machine.console} quiet panic=-1 ${commandLine}`];
      const run = spawnSync(machine.qemu, [...machine.options, ...vm, ...guest, ...append], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 200_000,
      });
      const lines = run.stdout.replaceAll('\r', '').split('\n');
      return { status: run.status, lines: lines.slice(lines.findIndex((line) => line.includes('guest is up'))) };
    }

    booted('describes its machine, and powers off', () => {
      const { status, lines } = boot('some=value');
      expect(status).toBe(0);
      const [, cpus, memory] = new RegExp(
        `guest is up: Linux \\S+ on ${machine.uname}, (\\d+) CPUs, (\\d+) MiB of memory$`,
      ).exec(lines[0] ?? '') ?? ['', lines[0], ''];
      expect(cpus).toBe('2');
      // The kernel reserves some memory.
      expect(Number(memory)).toBeGreaterThan(250);
      expect(Number(memory)).toBeLessThan(384);
      expect(lines[1]).toMatch(/^kernel version: #\d/);
      expect(lines[2]).toBe(`command line: console=${machine.console} quiet panic=-1 some=value`);
      expect(lines[3]).toMatch(/reboot: Power down$/);
    });

    booted.each([
      ['/bin/second', 'init: this is the first program of a guest and does nothing as any other', 1],
      ['/bin/none', 'init: cannot run /bin/none: error 2 (no such file)', 127],
      ['/bin/text', 'init: cannot run /bin/text: error 13 (permission denied)', 127],
      ['/bin/garbage', 'init: cannot run /bin/garbage: error 8 (not a program for this processor)', 127],
    ])('runs the program in the command line, and reports how it ended: %s', (program, said, code) => {
      const { status, lines } = boot(`word -- ${program} "two words"`);
      expect(status).toBe(0);
      expect(lines.slice(3, 6)).toEqual([`running ${program}`, said, `${program} exited with code ${code}`]);
      expect(lines[6]).toMatch(/reboot: Power down$/);
    });
  },
);
