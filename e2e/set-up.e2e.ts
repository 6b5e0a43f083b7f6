import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { cleanEnvironment } from './harness/run';
import { REPOSITORY } from './harness/template';

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

/** The apt commands for the demo on Linux. */
const UPDATE = 'apt-get update';
const INSTALL = 'apt-get install --yes --no-install-recommends qemu-system-x86';

let folder: string;
let bin: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-set-up-'));
  chmodSync(folder, 0o755);
  bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program in the only folder of PATH. */
function program(name: string, script = 'exit 0'): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** An apt-get that records its arguments, and installs QEMU unless it fails. */
const aptGet = (before = ''): void =>
  program(
    'apt-get',
    `echo "apt-get $*" >>${folder}/asked\n${before}\nif [ "$1" = install ]; then /bin/cp /bin/true ${bin}/qemu-system-x86_64; fi`,
  );
const asked = (): string[] =>
  existsSync(join(folder, 'asked')) ? readFileSync(join(folder, 'asked'), 'utf8').trimEnd().split('\n') : [];

function systemPackages(args: string[] = [], uid?: number): { status: number | null; lines: string[] } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(REPOSITORY, 'scripts', 'system-packages.mjs'), 'demo', ...args],
    { encoding: 'utf8', env: { PATH: bin }, uid, gid: uid, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return { status, lines: (stdout + stderr).trimEnd().split('\n') };
}

const { it: asRoot } = skippedFor(isRoot ? undefined : 'root');
const canBeNobody =
  !isRoot ||
  spawnSync(process.execPath, [join(REPOSITORY, 'scripts', 'system-packages.mjs')], { uid: NOBODY }).status === 2;
const { it: asUser } = skippedFor(canBeNobody ? undefined : 'a folder that users other than root can reach');
const user = isRoot ? NOBODY : undefined;

describe('scripts/system-packages.mjs', () => {
  it('installs nothing if nothing is missing', () => {
    program('qemu-system-x86_64');
    aptGet();
    expect(systemPackages()).toEqual({
      status: 0,
      lines: ['needed: QEMU (boots the image)', 'everything is installed'],
    });
    expect(asked()).toEqual([]);
  });

  asRoot('installs missing packages as root, and prints the commands', () => {
    program('env', 'shift; exec "$@"');
    aptGet();
    const { status, lines } = systemPackages();
    expect({ status, lines: lines.slice(1, 4) }).toEqual({
      status: 0,
      lines: ['missing: QEMU', `$ ${UPDATE}`, `$ ${INSTALL}`],
    });
    expect(asked()).toEqual([UPDATE, INSTALL]);
  });

  asRoot('continues with old lists if they can not be updated, and shows what failed', () => {
    program('env', 'shift; exec "$@"');
    aptGet('[ "$1" = update ] && exit 100');
    expect(systemPackages().status).toBe(0);
    rmSync(join(bin, 'qemu-system-x86_64'));
    aptGet('echo "E: Unable to locate package" >&2; exit 100');
    const { status, lines } = systemPackages();
    expect(status).toBe(1);
    expect(lines.join('\n')).toContain('E: Unable to locate package');
    expect(lines).toContain('still missing: QEMU');
  });

  it('installs nothing with --no-install, and prints the command that would', () => {
    aptGet();
    program('sudo');
    const { status, lines } = systemPackages(['--no-install']);
    const line = isRoot ? `${UPDATE} && ${INSTALL}` : `sudo ${UPDATE} && sudo ${INSTALL}`;
    expect({ status, lines: lines.slice(1) }).toEqual({
      status: 1,
      lines: ['missing: QEMU', 'installing nothing: --no-install was given', `to install: ${line}`],
    });
    expect(asked()).toEqual([]);
  });

  asUser('installs nothing for a user without sudo or without a terminal', () => {
    aptGet();
    expect(systemPackages([], user)).toMatchObject({
      status: 1,
      lines: expect.arrayContaining([
        'installing nothing: this user is not root, and sudo is missing',
        `to install: su -c '${UPDATE} && ${INSTALL}'`,
      ]) as string[],
    });
    program('sudo', 'exec "$@"');
    expect(systemPackages([], user)).toMatchObject({
      status: 1,
      lines: expect.arrayContaining([
        'installing nothing: this user is not root, and sudo has no terminal to ask on',
        `to install: sudo ${UPDATE} && sudo ${INSTALL}`,
      ]) as string[],
    });
    expect(asked()).toEqual([]);
  });

  it('says so if no package manager is known', () => {
    const { status, lines } = systemPackages();
    expect(status).toBe(1);
    expect(lines.at(-1)).toBe('no known package manager for QEMU (https://www.qemu.org/download/)');
  });
});

describe('tests with missing requirements', () => {
  /** Runs the tests of the PVH stub, which assemble it, with nothing in PATH but Node. */
  function jest(env: NodeJS.ProcessEnv): { status: number | null; output: string } {
    const args = [
      join(REPOSITORY, 'node_modules/jest/bin/jest.js'),
      '--selectProjects',
      'unit',
      '--testPathPatterns',
      'src/boot/pvh-stub',
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: REPOSITORY,
      encoding: 'utf8',
      env: {
        ...cleanEnvironment(),
        PATH: bin,
        NX_IGVM_SKIP_NOTHING: undefined,
        NX_IGVM_SKIPPED_TESTS: undefined,
        ...env,
      },
    });
    return { status, output: stdout + stderr };
  }

  it('are skipped and listed with their requirements', () => {
    const { status, output } = jest({});
    expect(status).toBe(0);
    expect(output).toContain(`Skipped: 2 tests
  needs as, objcopy, nm
    src/boot/pvh-stub.spec.ts: the PVH stub is what its source assembles to
    src/boot/pvh-stub.spec.ts: the KVM probe is what its source assembles to
`);
  });

  it('fail if nothing may be skipped', () => {
    const { status, output } = jest({ NX_IGVM_SKIP_NOTHING: '1' });
    expect(status).toBe(1);
    expect(output).toContain('these tests need as, objcopy, nm: node scripts/system-packages.mjs test');
  });
});
