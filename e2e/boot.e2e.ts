import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { collecting } from '../src/boot/fake-vmm.fixture';
import { findVmm } from '../src/boot/find-vmm';
import { PROBE_MESSAGE, writeProbeGuest } from '../src/boot/kvm-probe';
import { QEMU } from '../src/boot/vmm';
import { runVm } from '../src/boot/run-vm';
import { createOutputSet } from '../src/files/atomic-output';
import { crc32 } from '../src/files/hashes';
import { openFileSource } from '../src/files/file-source';
import type { Directive, IgvmFile } from '../src/igvm/model';
import { readIgvm } from '../src/igvm/read-igvm';
import { COMMAND_LINE, EMBEDDED, type LinuxImage, manifest, MEMORY, MIB, processesWith } from './boot-guest';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { debianKernel, needingKernel } from './debian-kernel';
import { cleanEnvironment, run, type RunResult } from './harness/run';
import { NX_ENVIRONMENT } from './harness/template';
import { Workspace } from './harness/workspace';
import { extractVmlinux } from './vmlinux';

/** The guest's description of its machine. */
function guestOf(output: string): { commandLine?: string; memoryMiB: number; processors: number; seconds: number } {
  const line = (pattern: RegExp): string | undefined => pattern.exec(output)?.[1];
  return {
    commandLine: line(/^guest: command line: (.*?)\r?$/m),
    memoryMiB: Number(line(/^guest: MemTotal: +(\d+) kB/m)) / 1024,
    processors: Number(line(/^guest: processors: (\d+)/m)),
    seconds: Number(line(/^guest: up for (\d+) seconds/m)),
  };
}

const { describe: booting } = needingKernel('amd64', 'qemu-system-x86_64', 'busybox', 'xz');

booting('booting images on stock QEMU', () => {
  let workspace: Workspace;
  const image = (project: string): string => `dist/${project}/${project}.igvm`;
  const cli = (...args: string[]): Promise<RunResult> =>
    run(workspace.path('node_modules/.bin/nx-igvm'), args, { cwd: workspace.root });
  const bootCli = (project: string, ...args: string[]): Promise<RunResult> =>
    cli('boot', image(project), '--accel=tcg', '--timeout=120', ...args);

  // A bzImage unpacks itself first, which is slow with TCG, so one is enough.
  const PROJECTS: Record<string, { linux: LinuxImage; kernel: string }> = {
    'guest-image': { linux: EMBEDDED, kernel: 'vmlinuz' },
    'elf-image': { linux: EMBEDDED, kernel: 'vmlinux' },
    'vmm-image': { linux: {}, kernel: 'vmlinux' },
    'smp-image': { linux: { ...EMBEDDED, processor_count: 4 }, kernel: 'vmlinux' },
  };

  beforeAll(async () => {
    workspace = await Workspace.create();
    const { vmlinuz } = debianKernel();
    workspace.copy(vmlinuz, 'boot/vmlinuz');
    workspace.write('boot/vmlinux', extractVmlinux(vmlinuz));
    await makeBootInitrd(workspace.path('boot/initrd.cpio.gz'));
    for (const [name, { linux, kernel }] of Object.entries(PROJECTS)) {
      workspace.writeJson(`${name}/igvm.json`, manifest(linux, kernel));
    }
    for (const name of Object.keys(PROJECTS)) await workspace.nxOk('build', name);
  });
  afterAll(() => workspace.dispose());

  it.each(['guest-image', 'elf-image'])('nx boot runs %s to userspace until it powers off', async (project) => {
    const output = await workspace.nxOk('boot', project, '--accel=tcg', '--cpus=2', '--timeout=120');
    expect(output).toContain(GUEST_READY);
    expect(guestOf(output)).toMatchObject({ commandLine: COMMAND_LINE, processors: 2 });
    expect(output).toContain('reboot: Power down');
    expect(output).toMatch(/nx-igvm: QEMU [\d.]+ with TCG boots the image as a PVH kernel \(way pvh\)/);
  });

  it('gives the guest the VMM’s memory by default, and the manifest’s with the image’s tables', async () => {
    const theirs = await bootCli('elf-image', '--memory=1G');
    expect(theirs.status).toBe(0);
    expect(guestOf(theirs.output).memoryMiB).toBeGreaterThan(900);
    // This guest can't power off.
    const own = await bootCli('elf-image', '--memory=1G', '--tables=image');
    expect(own.status).toBe(0);
    expect(own.output).toContain('reboot: System halted');
    const { memoryMiB, commandLine } = guestOf(own.output);
    expect(commandLine).toBe(COMMAND_LINE);
    // The kernel reserves some memory.
    expect(memoryMiB).toBeLessThan(MEMORY);
    expect(memoryMiB).toBeGreaterThan(MEMORY - 80);
  });

  it.each([1, 2])('runs as many of processor_count processors as the VM has, without ACPI: %d', async (cpus) => {
    const { status, output } = await bootCli('smp-image', `--cpus=${cpus}`, '--tables=image', '--until=guest: done');
    expect(status).toBe(0);
    expect(output).toMatch(/ACPI: RSDP .*IGVM/);
    expect(output).toContain('Using ACPI (MADT) for SMP configuration information');
    expect(output).not.toMatch(/do_boot_cpu failed|failed to report alive/);
    const guest = guestOf(output);
    expect(guest).toMatchObject({ processors: cpus, commandLine: COMMAND_LINE });
    // Linux waits ten seconds for each expected processor that is missing.
    expect(guest.seconds).toBeLessThan(10);
  });

  it('leaves out the image’s tables if the guest has the VMM’s', async () => {
    const { status, output } = await bootCli('smp-image', '--cpus=2');
    expect(status).toBe(0);
    expect(output).toContain('ACPI: RSDP');
    expect(output).not.toMatch(/OEM ID: IGVM|ACPI: RSDP .*IGVM/);
    expect(guestOf(output).processors).toBe(2);
  });

  it('fills parameter areas for the VMM, and replaces the command line', async () => {
    const { status, output } = await bootCli('vmm-image', '--commandLine=console=ttyS0 from=the-user');
    expect(status).toBe(0);
    expect(guestOf(output).commandLine).toBe('console=ttyS0 from=the-user');
    const own = await bootCli('vmm-image', '--tables=image', '--memory=300M', '--until=guest: done');
    expect(own.status).toBe(0);
    expect(guestOf(own.output).commandLine).toBe(COMMAND_LINE);
    expect(guestOf(own.output).memoryMiB).toBeLessThan(300);
  });

  it('exports a kernel that stock QEMU boots', async () => {
    const { status, output } = await cli('export', image('elf-image'), '-o', 'guest.elf');
    expect({ status, output }).toEqual({
      status: 0,
      output: expect.stringMatching(/^guest\.elf: \d+ MiB, PVH entry/) as string,
    });
    const booted = await run(
      'qemu-system-x86_64',
      [
        '-machine',
        'q35,accel=tcg',
        '-smp',
        '2',
        '-m',
        '512M',
        '-nodefaults',
        '-display',
        'none',
        '-serial',
        'stdio',
      ].concat(['-no-reboot', '-kernel', 'guest.elf']),
      { cwd: workspace.root },
    );
    expect(booted.status).toBe(0);
    expect(guestOf(booted.output)).toMatchObject({ commandLine: COMMAND_LINE, processors: 2 });
  });

  it('reports by its exit code whether the output matched', async () => {
    const early = await bootCli('elf-image', '--until=] Linux version');
    expect(early.status).toBe(0);
    expect(early.output).not.toContain(GUEST_READY);
    const never = await bootCli('elf-image', '--until=^no such line');
    expect(never.status).toBe(1);
    expect(never.output).toContain('[BOOT_NO_MATCH]');
    const late = await cli('boot', image('elf-image'), '--accel=tcg', '--timeout=1');
    expect(late.status).toBe(1);
    expect(late.output).toContain('[BOOT_TIMEOUT]');
  });

  it('reports a QEMU without libigvm when it should load an image', async () => {
    const { status, output } = await bootCli('elf-image', '--way=igvm');
    const hasIgvm = spawnSync('qemu-system-x86_64', ['-object', 'help'], { encoding: 'utf8' }).stdout.includes(
      'igvm-cfg',
    );
    expect({ status, output }).toEqual(
      hasIgvm
        ? { status: 0, output: expect.stringContaining('reboot: System halted') as string }
        : { status: 1, output: expect.stringContaining('[VMM_UNSUPPORTED]') as string },
    );
  });

  it('refuses a VM that is too small before it starts', async () => {
    const { status, output } = await bootCli('elf-image', '--memory=256M');
    expect(status).toBe(1);
    expect(output).toContain(`dist/elf-image/elf-image.igvm: the VM has 256 MiB of memory`);
    expect(output).not.toContain('Linux version');
  });

  it('boots from a folder with any name, and with any command line, without interpreting either', async () => {
    const odd = workspace.path("it's, $(touch PWNED) -S; file=x,,id=y");
    workspace.copy(workspace.path(image('elf-image')), `${basename(odd)}/-kernel,a=b.igvm`);
    const commandLine = `console=ttyS0 quoted="a, -S,,b=c" $(touch PWNED) 'x' ; touch PWNED`;
    const args = ['boot', join(odd, '-kernel,a=b.igvm'), '--accel=tcg', '--timeout=120', '--commandLine', commandLine];
    const { status, output } = await run(workspace.path('node_modules/.bin/nx-igvm'), args, {
      cwd: odd,
      env: { ...cleanEnvironment(), TMPDIR: odd },
    });
    expect({ status, commandLine: guestOf(output).commandLine }).toEqual({ status: 0, commandLine });
    expect(readdirSync(odd)).toEqual(['-kernel,a=b.igvm']);
    expect(readdirSync(workspace.root)).not.toContain('PWNED');
  });

  it('passes further arguments to QEMU, with nx and with the command', async () => {
    const bogus = ['-device', 'no-such-device'];
    const byNx = await workspace.nx('boot', 'elf-image', '--', '--accel=tcg', ...bogus);
    expect(byNx.status).not.toBe(0);
    expect(byNx.output).toContain('no-such-device');
    const byCli = await bootCli('elf-image', '--', ...bogus);
    expect(byCli.status).toBe(1);
    expect(byCli.output).toContain('[VMM_FAILED]');
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)('leaves no VM and no file when nx gets %s', async (signal) => {
    const name = `nx-igvm-e2e-${signal}-${process.pid}`;
    const args = ['boot', 'elf-image', '--', '--accel=tcg', '--command-line=console=ttyS0 stay', '-name', name];
    const home = mkdtempSync(join(tmpdir(), 'nx-igvm-e2e-tmp-'));
    const nx = spawn(workspace.path('node_modules/.bin/nx'), args, {
      cwd: workspace.root,
      env: {
        ...cleanEnvironment(),
        ...NX_ENVIRONMENT,
        NX_CACHE_DIRECTORY: join(home, 'cache'),
        NX_WORKSPACE_DATA_DIRECTORY: join(home, 'data'),
        TMPDIR: home,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await printed(nx, 'guest: done');
      expect(processesWith(name).length).toBeGreaterThan(0);
      expect(readdirSync(home).filter((file) => file.startsWith('nx-igvm-boot-'))).toHaveLength(1);
      nx.kill(signal);
      for (let tries = 0; tries < 100 && processesWith(name).length > 0; tries++) await sleep(100);
      expect(processesWith(name)).toEqual([]);
      expect(readdirSync(home).filter((file) => file.startsWith('nx-igvm-boot-'))).toEqual([]);
    } finally {
      nx.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true });
    }
  });

  it('uses KVM only if it works: with the default accelerator, an image always boots', async () => {
    const { status, output } = await cli('boot', image('elf-image'), '--timeout=120', '--until=guest: done');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
  });

  it('has a KVM probe that every working accelerator passes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-probe-'));
    const file = join(folder, 'probe.elf');
    const outputs = createOutputSet();
    await writeProbeGuest(outputs.add(file));
    await outputs.commit();
    const { path, vmm } = await findVmm({ vmm: 'qemu' });
    const vm = { way: 'pvh', file, accel: 'tcg', memory: 64 * MIB, cpus: 1, tables: 'vmm', extraArgs: [] } as const;
    let output = '';
    const { by } = await runVm({
      program: path,
      args: vmm.commandLine(vm),
      folder,
      until: new RegExp(PROBE_MESSAGE),
      timeout: 30_000,
      stdout: collecting((text) => (output += text)),
      stderr: () => undefined,
    });
    expect({ by, output }).toEqual({ by: 'matched', output: expect.stringContaining(PROBE_MESSAGE) as string });
  });

  describe('an image with embedded boot data', () => {
    it.each(['guest-image', 'elf-image', 'smp-image'])('has nothing that QEMU with libigvm refuses: %s', (project) => {
      const source = openFileSource(workspace.path(image(project)));
      try {
        const file = readIgvm(source, { crc32 });
        expect(refusedByLibigvm(file)).toEqual([]);
        expect(
          QEMU.igvmRefusal(file, { ways: ['pvh', 'igvm'], accelerators: ['tcg'], version: '10.2.0' }),
        ).toBeUndefined();
      } finally {
        source.close();
      }
    });

    it('is distinguished by that list from other images', () => {
      const source = openFileSource(workspace.path(image('vmm-image')));
      try {
        const refused = refusedByLibigvm(readIgvm(source, { crc32 }));
        expect(refused).toEqual(
          expect.arrayContaining(['parameter commandLine', 'parameter madt', 'initial data of a parameter area']),
        );
      } finally {
        source.close();
      }
    });
  });
});

/**
 * The things that QEMU 10.2 with libigvm refused or lost. It accepts pages in RAM and outside 0xa0000-0xdffff, required memory,
 * VP_COUNT, MEMORY_MAP, ENVIRONMENT_INFO, and one context for VP 0. Written independently of src/boot/vmm.ts, which must agree.
 */
function refusedByLibigvm(file: IgvmFile): string[] {
  const contexts = file.directives.filter(({ type }) => type === 'vpContext').length;
  const ram = file.directives.reduce(
    (end, directive) => (directive.type === 'requiredMemory' ? Math.max(end, directive.gpa + directive.size) : end),
    0,
  );
  const reason = (directive: Directive): string | undefined => {
    switch (directive.type) {
      case 'pageData': {
        const end = directive.gpa + directive.pageCount * 4096;
        if (directive.gpa < 0xe0000 && end > 0xa0000) return 'pages in the BIOS';
        return end > ram || directive.flags !== 0 || directive.dataType !== 0 ? 'pages out of RAM' : undefined;
      }
      case 'parameter':
        return ['vpCount', 'memoryMap', 'environmentInfo'].includes(directive.kind)
          ? undefined
          : `parameter ${directive.kind}`;
      case 'parameterArea':
        return directive.initialData.size > 0 ? 'initial data of a parameter area' : undefined;
      case 'vpContext':
        return directive.vpIndex === 0 && contexts === 1 ? undefined : 'a context of another processor';
      case 'requiredMemory':
      case 'parameterInsert':
        return undefined;
      default:
        return directive.type;
    }
  };
  const platforms = file.platforms.filter(({ platformType }) => platformType !== 0).map(() => 'another platform');
  return [...platforms, ...file.directives.flatMap((directive) => reason(directive) ?? [])];
}

function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes(text)) resolve();
    });
    child.on('close', () => reject(new Error(`ended without printing "${text}":\n${output}`)));
  });
}
