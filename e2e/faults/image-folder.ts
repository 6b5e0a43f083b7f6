import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noise } from '../../conformance/inputs/bytes';
import { imageWith } from '../caching/images';
import { input } from '../harness/inputs';
import { cleanEnvironment, run, type RunResult } from '../harness/run';
import { REPOSITORY } from '../harness/template';
import { LOCK_NAME } from '../../src/files/folder-lock';

/** Two states of one image, with different initrds and platforms. */
const VERSIONS = {
  a: [
    { snp: { shared_gpa_boundary_bits: 46, policy: 196639, enable_debug: false, injection_type: 'restricted' } },
    { tdx: { enable_debug: false, sept_ve_disable: true } },
    { vbs: { enable_debug: false } },
  ],
  b: [{ vbs: { enable_debug: false } }, { tdx: { enable_debug: true, sept_ve_disable: true } }],
};
export type Version = keyof typeof VERSIONS;

/** Names and contents of the files of an image. */
export type Files = ReadonlyMap<string, Buffer>;

export const PROGRAM = join(REPOSITORY, 'dist', 'cli', 'nx-igvm.js');
/** Large enough that writing takes a while. */
const INITRD_BYTES = 17 << 20;

/** An image that is built repeatedly in one folder, by processes that may be killed. */
export class ImageFolder {
  readonly home = mkdtempSync(join(tmpdir(), 'nx-igvm-faults-'));
  readonly out = join(this.home, 'out');
  private readonly whole = new Map<Version, Files>();

  constructor() {
    mkdirSync(this.out);
    const { guest } = imageWith('openhcl_boot');
    writeFileSync(join(this.home, 'kernel'), input('vmlinux-x64.elf'));
    writeFileSync(join(this.home, 'shim'), input('openhcl_boot-x64.elf'));
    for (const version of Object.keys(VERSIONS) as Version[]) {
      writeFileSync(join(this.home, `initrd-${version}`), noise(version, INITRD_BYTES));
      const resources = { underhill_kernel: 'kernel', underhill_initrd: `initrd-${version}`, openhcl_boot: 'shim' };
      const guests = VERSIONS[version].map((isolation) => ({ guest_svn: 1, ...guest, isolation_type: isolation }));
      const manifest = { guest_arch: 'x64', guest_configs: guests, resources };
      writeFileSync(join(this.home, `${version}.igvm.json`), JSON.stringify(manifest));
    }
  }

  /** Builds both states without disturbance, to record them. */
  async learn(): Promise<void> {
    for (const version of Object.keys(VERSIONS) as Version[]) {
      const out = join(this.home, `whole-${version}`);
      mkdirSync(out);
      const { status, output } = await this.build(version, { out });
      if (status !== 0) throw new Error(output);
      this.whole.set(version, filesOf(out));
    }
  }

  /** The files of a state. */
  filesOf(version: Version): Files {
    return this.whole.get(version)!;
  }

  arguments(version: Version, out = this.out): string[] {
    return [PROGRAM, 'build', join(this.home, `${version}.igvm.json`), '--output', join(out, 'image.igvm')];
  }

  build(
    version: Version,
    { out = this.out, preload = [] as string[], env = {}, uid = undefined as number | undefined } = {},
  ): Promise<RunResult> {
    const args = [...preload.flatMap((file) => ['--require', file]), ...this.arguments(version, out)];
    return run(process.execPath, args, { cwd: this.home, env: { ...cleanEnvironment(), ...env }, uid });
  }

  start(version: Version): ChildProcess {
    return spawn(process.execPath, this.arguments(version), { stdio: 'ignore', env: cleanEnvironment() });
  }

  /** Runs another command of the program. */
  command(...args: string[]): Promise<RunResult> {
    return run(process.execPath, [PROGRAM, ...args], { cwd: this.home });
  }

  /** Makes the folder hold exactly the files of a state. */
  restore(version: Version): void {
    rmSync(this.out, { recursive: true });
    mkdirSync(this.out);
    for (const [name, bytes] of this.filesOf(version)) writeFileSync(join(this.out, name), bytes);
  }

  /** Names of unfinished files. */
  unfinished(): string[] {
    return readdirSync(this.out).filter(isUnfinished);
  }

  /**
   * Faults in the folder while `building` replaces `previous`: files that belong to neither, or a new image without all of its
   * new siblings.
   */
  faults(previous: Version, building: Version): string[] {
    const is = filesOf(this.out);
    const [old, made] = [this.filesOf(previous), this.filesOf(building)];
    const torn = [...is].filter(([name, bytes]) => ![old, made].some((files) => files.get(name)?.equals(bytes)));
    const faults = torn.map(([name]) => `${name} is incomplete`);
    const image = is.get('image.igvm');
    if (image === undefined) return [...faults, 'there is no image'];
    return image.equals(made.get('image.igvm')!) ? [...faults, ...this.differences(building)] : faults;
  }

  /** Differences between the finished files and a state. */
  differences(version: Version, out = this.out): string[] {
    const [is, should] = [filesOf(out), this.filesOf(version)];
    const missing = [...should.keys()].filter((name) => !is.has(name)).map((name) => `${name} is missing`);
    const wrong = [...is]
      .filter(([name, bytes]) => !should.get(name)?.equals(bytes))
      .map(([name]) => `${name} is wrong`);
    return [...missing, ...wrong];
  }

  dispose(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** The files that a killed build leaves, and the next one removes. */
const isUnfinished = (name: string): boolean => name.endsWith('.nx-igvm-tmp') || name === LOCK_NAME;

const filesOf = (folder: string): Files =>
  new Map(
    readdirSync(folder)
      .filter((name) => !isUnfinished(name))
      .map((name) => [name, readFileSync(join(folder, name))]),
  );
