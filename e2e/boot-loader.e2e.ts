/**
 * Images that QEMU loads by itself. This takes a QEMU that was built with libigvm: the one that NX_IGVM_QEMU names, or the one in PATH.
 * Distributions build theirs without it; docs/boot.md says how to build one.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeContext, nativeImage, pageData, parameter } from '../src/boot/native-image.fixture';
import { skippedFor } from '../src/boot/needing.fixture';
import { QEMU } from '../src/boot/vmm';
import { findProgram } from '../src/files/find-program';
import { readImage, writeImage } from '../src/files/igvm-image';
import {
  type Directive,
  type IgvmFile,
  PARAMETER_TYPE,
  type ParameterKind,
  PLATFORM_TYPE,
  type PlatformHeader,
} from '../src/igvm/model';
import { COMMAND_LINE, EMBEDDED, type LinuxImage, manifest, MEMORY } from './boot-guest';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { debianKernel, needingKernel } from './debian-kernel';
import { run, runOk, type RunResult } from './harness/run';
import { REPOSITORY } from './harness/template';
import { installedOvmf } from './ovmf-firmware';
import { extractVmlinux } from './vmlinux';

const named = process.env['NX_IGVM_QEMU'];
const program = named ?? findProgram('qemu-system-x86_64');
const answer = (...args: string[]): string =>
  program === undefined ? '' : spawnSync(program, args, { encoding: 'utf8' }).stdout;
const capabilities = QEMU.capabilities(QEMU.questions.map((args) => answer(...args)));
const loadsImages = capabilities.ways.includes('igvm');
if (named !== undefined && !loadsImages) throw new Error(`${named} (NX_IGVM_QEMU) has no object igvm-cfg`);

const { describe: loading } = loadsImages
  ? needingKernel('amd64', 'busybox', 'xz')
  : skippedFor('a QEMU with libigvm, in PATH or NX_IGVM_QEMU');

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-e2e-loader-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const nxIgvm = (...args: string[]): [string, string[], { cwd: string }] => [
  process.execPath,
  [join(REPOSITORY, 'dist/cli/nx-igvm.js'), ...args],
  { cwd: folder },
];

loading('an image on a QEMU that loads it itself', () => {
  const boot = (image: string, ...args: string[]): Promise<RunResult> =>
    run(...nxIgvm('boot', image, '--vmm-path', program!, '--accel=tcg', '--timeout=120', ...args));

  async function build(name: string, linux: LinuxImage & { command_line?: string }): Promise<string> {
    const resources = { linux_kernel: 'vmlinux', linux_initrd: 'initrd.cpio.gz' };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ ...manifest(linux, ''), resources }));
    await runOk(...nxIgvm('build', `${name}.json`, '-o', `${name}.igvm`));
    return `${name}.igvm`;
  }

  beforeAll(async () => {
    const { vmlinuz } = debianKernel();
    writeFileSync(join(folder, 'vmlinux'), extractVmlinux(vmlinuz));
    await makeBootInitrd(join(folder, 'initrd.cpio.gz'));
    await build('guest', EMBEDDED);
  });

  it('boots as a PVH kernel by default, and powers off', async () => {
    const { status, output } = await boot('guest.igvm');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
    expect(output).toContain('boots the image as a PVH kernel (way pvh)');
    expect(output).toContain('reboot: Power down');
  });

  it('is loaded by QEMU with --way=igvm, which ends when the guest has halted', async () => {
    const { status, output } = await boot('guest.igvm', '--way=igvm', '--memory=1G');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
    expect(output).toContain('loads the image itself (way igvm)');
    expect(output).toContain('reboot: System halted');
    expect(output).toContain(`guest: command line: ${COMMAND_LINE}`);
    const [, kilobytes] = /^guest: MemTotal: +(\d+) kB/m.exec(output) ?? [];
    expect(Number(kilobytes) / 1024).toBeLessThan(MEMORY);
  });

  it.each([
    ['reboot -f', 'console=ttyS0 restart', 'reboot: Restarting system'],
    ['a panic, with panic=-1', 'console=ttyS0 panic=-1 rdinit=/none root=/none', 'Kernel panic'],
  ])('ends when the guest restarts: %s', async (name, command_line, says) => {
    const image = await build(name.replace(/\W/g, ''), { ...EMBEDDED, command_line });
    const { status, output } = await boot(image, '--way=igvm');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(says) as string });
  });

  it('ends at a match of --until, and after --timeout', async () => {
    const image = await build('stays', { ...EMBEDDED, command_line: 'console=ttyS0 stay' });
    const early = await boot(image, '--way=igvm', '--until=^guest: done$');
    expect({ status: early.status, output: early.output }).toMatchObject({ status: 0 });
    const late = await boot(image, '--way=igvm', '--timeout=1');
    expect(late).toMatchObject({ status: 1, output: expect.stringContaining('[BOOT_TIMEOUT]') as string });
    const never = await boot('guest.igvm', '--way=igvm', '--until=^no such line$');
    expect(never).toMatchObject({ status: 1, output: expect.stringContaining('[BOOT_NO_MATCH]') as string });
  });

  it.each([1, 2, 4])('has as many of its processor_count processors as the VM: %d', async (cpus) => {
    const image = await build('processors', { ...EMBEDDED, processor_count: 4 });
    const { status, output } = await boot(image, '--way=igvm', `--cpus=${cpus}`);
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
    expect(output).toContain('Using ACPI (MADT) for SMP configuration information');
    expect(output).toContain(`guest: processors: ${cpus}`);
    expect(output).not.toMatch(/do_boot_cpu failed|failed to report alive/);
  });

  it('boots with a parameter for the MADT if QEMU supports it', async () => {
    const image = readImage(join(folder, 'guest.igvm'));
    const last = image.directives.findLastIndex(({ type }) => type !== 'vpContext');
    const directives = image.directives.toSpliced(last + 1, 0, ...parameter(40, 0x1700_0000, 'madt'));
    await writeImage({ ...image, directives }, join(folder, 'madt.igvm'));
    const { status, output } = await boot('madt.igvm', '--way=igvm', '--until=guest: done');
    const takes = Number(capabilities.version?.split('.')[0]) >= 11;
    expect({ status, output }).toEqual(
      takes
        ? { status: 0, output: expect.stringContaining(GUEST_READY) as string }
        : { status: 1, output: expect.stringContaining('QEMU does not accept parameter madt') as string },
    );
  });

  const ovmf = installedOvmf();
  skippedFor(ovmf === undefined ? 'OVMF' : undefined).it('is loaded by QEMU by default if it is firmware', async () => {
    await runOk(...nxIgvm('wrap', '--input', ovmf!.code, '--vars', ovmf!.vars, '-o', 'ovmf.igvm'));
    const { status, output } = await boot('ovmf.igvm', '--until', 'BdsDxe: (?:No bootable option|starting Boot)');
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining('(way igvm)') as string });
  });

  describe('before any guest runs', () => {
    /** Loads a file in QEMU. @returns its error, empty if it accepts the file, and its answer to a command of its monitor */
    async function loadedBy(file: IgvmFile, command = 'info version'): Promise<{ refusal: string; answer: string }> {
      await writeImage(file, join(folder, 'tried.igvm'));
      const args = ['-machine', 'q35,accel=tcg,igvm-cfg=igvm', '-object', 'igvm-cfg,id=igvm,file=tried.igvm', '-S'];
      args.push('-m', '128M', '-nodefaults', '-display', 'none', '-monitor', 'stdio');
      const input = `${command}\nquit\n`;
      const { status, stdout, stderr } = spawnSync(program!, args, { cwd: folder, input, encoding: 'utf8' });
      return { refusal: status === 0 ? '' : stderr || String(status), answer: stdout };
    }

    const vbs: PlatformHeader = {
      compatibilityMask: 2,
      highestVtl: 0,
      platformType: PLATFORM_TYPE.VSM_ISOLATION,
      platformVersion: 1,
      sharedGpaBoundary: 0n,
    };
    const withVbs = (more: Partial<IgvmFile>): IgvmFile => {
      const image = nativeImage();
      const directives = [...(more.directives ?? []), ...image.directives];
      return { ...image, ...more, directives, platforms: [...image.platforms, vbs] };
    };
    const errors = (compatibilityMask: number): Directive => ({
      type: 'errorRange',
      gpa: 0x90000,
      compatibilityMask,
      size: 4096,
    });
    const KINDS = Object.keys(PARAMETER_TYPE).filter((kind) => kind !== 'deviceTree') as ParameterKind[];

    it.each<[string, IgvmFile]>([
      ['pages and a context', nativeImage()],
      [
        'pages of another platform in the BIOS',
        withVbs({ directives: [{ ...pageData(0xc0000), compatibilityMask: 2 }] }),
      ],
      ['an error range', nativeImage([errors(1)])],
      ['an error range of another platform', withVbs({ directives: [errors(2)] })],
      ['a context of a second processor', nativeImage([{ ...nativeContext(), vpIndex: 1 } as Directive])],
      ['a policy', withVbs({ initializations: [{ type: 'guestPolicy', compatibilityMask: 2, policy: 0n }] })],
      ...KINDS.map((kind): [string, IgvmFile] => [`parameter ${kind}`, nativeImage(parameter(0, 0x9000, kind))]),
    ])('QEMU and our check agree on %s', async (_, file) => {
      const { refusal } = await loadedBy(file);
      const isRefused = QEMU.igvmRefusal(file, capabilities) !== undefined;
      expect({ refusal, isRefused }).toEqual({ refusal, isRefused: refusal !== '' });
    });

    const marked = new Uint8Array(4096).fill(0x5a);
    it.each<[string, IgvmFile, command: string]>([
      ['pages of option ROMs', nativeImage([pageData(0xc0000, 1, marked)]), 'xp /4xb 0xc0000'],
      ['initial data', nativeImage(parameter(0, 0x9000, 'vpCount', { initial: 'data' })), 'xp /4xb 0x9004'],
      ['the offset of a map', nativeImage(parameter(0, 0x9000, 'memoryMap', { byteOffset: 480 })), 'xp /4xb 0x91e8'],
    ])('QEMU accepts but loses %s, so our check refuses it', async (_, file, command) => {
      const { refusal, answer: memory } = await loadedBy(file, command);
      expect({ refusal, memory }).toEqual({
        refusal: '',
        memory: expect.stringContaining(': 0x00 0x00 0x00 0x00') as string,
      });
      expect(QEMU.igvmRefusal(file, capabilities)).toBeDefined();
    });
  });
});
