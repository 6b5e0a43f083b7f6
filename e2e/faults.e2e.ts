import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { skippedFor } from '../src/boot/needing.fixture';
import { ImageFolder, PROGRAM, type Version } from './faults/image-folder';
import { run, type RunResult } from './harness/run';

/** How often a build is killed. `NX_IGVM_KILLS=200 npx jest --selectProjects e2e -- e2e/faults` takes long. */
const KILLS = Number(process.env['NX_IGVM_KILLS'] ?? 20);

/** How often two different builds run at the same time. */
const MEETINGS = Number(process.env['NX_IGVM_MEETINGS'] ?? 50);

const other = (version: Version): Version => (version === 'a' ? 'b' : 'a');

let folder: ImageFolder;
beforeAll(async () => {
  folder = new ImageFolder();
  await folder.learn();
});
afterAll(() => folder.dispose());

async function buildWhole(version: Version): Promise<void> {
  const { status, output } = await folder.build(version);
  expect({ status, output, differences: folder.differences(version), unfinished: folder.unfinished() }).toEqual({
    status: 0,
    output,
    differences: [],
    unfinished: [],
  });
}

describe('a build that is killed', () => {
  it.each(['a', 'b'] as Version[])('leaves only complete files at any step, when building %s', async (version) => {
    const previous = other(version);
    const lock = join(folder.home, 'igvm.lock.json');
    await buildWhole(previous);
    await folder.command('measure', join(folder.out, 'image.igvm'), '--update-lock', lock, '--allow-debug');
    const states = new Set<string>();
    for (let step = 1; ; step++) {
      const stop = { preload: [join(__dirname, 'faults', 'stop-at.cjs')], env: { STOP_AT: String(step) } };
      const { status } = await folder.build(version, stop);
      expect({ step, faults: folder.faults(previous, version) }).toEqual({ step, faults: [] });
      if (status === 0) break;
      expect(status).toBe(null);
      const differences = folder.differences(previous);
      const state = differences.includes('image.igvm is wrong') ? 'new' : differences.length > 0 ? 'between' : 'old';
      if (state === 'between' && !states.has(state)) {
        // An old image beside new files is detected and repaired.
        const { output } = await folder.command('verify', join(folder.out, 'image.igvm'), '--lock', lock);
        expect(output).toContain('[SIBLINGS_STALE]');
        await buildWhole(previous);
      }
      states.add(state);
      folder.restore(previous);
    }
    expect([...states]).toEqual(['old', 'between', 'new']);
    expect(folder.differences(version)).toEqual([]);
  });

  it(
    `leaves whole files at any moment, ${KILLS} times`,
    async () => {
      await buildWhole('a');
      const whole = await window('b');
      let current: Version = 'b';
      let killed = 0;
      for (let round = 0; round < KILLS; round++) {
        const version = other(current);
        // Most are killed while they write and rename files, some before.
        if (await kill(version, round % 5 === 4 ? undefined : Math.random() * whole)) killed++;
        expect({ round, faults: folder.faults(current, version) }).toEqual({ round, faults: [] });
        if (folder.differences(version).length === 0) current = version;
        else if (round % 5 === 0) await buildWhole(current);
      }
      expect(killed).toBeGreaterThan(0);
      await buildWhole(current);
    },
    60_000 + KILLS * 10_000,
  );

  /** Milliseconds from the first unfinished file of a build to its end. */
  async function window(version: Version): Promise<number> {
    const child = folder.start(version);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    while (folder.unfinished().length === 0 && child.exitCode === null) await setTimeout(1);
    const start = performance.now();
    await ended;
    return performance.now() - start;
  }

  /** Kills a build some milliseconds after it began to write, or earlier. Returns whether the build was still running. */
  async function kill(version: Version, after: number | undefined): Promise<boolean> {
    const leftovers = new Set(folder.unfinished());
    const child = folder.start(version);
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal === 'SIGKILL')));
    const isWriting = () => folder.unfinished().some((name) => !leftovers.has(name));
    if (after === undefined) await setTimeout(Math.random() * 100);
    else while (!isWriting() && child.exitCode === null) await setTimeout(1);
    await setTimeout(after ?? 0);
    child.kill('SIGKILL');
    return (await ended) === true;
  }
});

describe('simultaneous builds of one image', () => {
  it('all succeed, even if one of them is killed', async () => {
    await buildWhole('a');
    for (const isKilled of [false, true]) {
      const doomed = isKilled ? folder.start('b') : undefined;
      const builds = [1, 2, 3].map(() => folder.build('b'));
      if (doomed !== undefined) {
        while (folder.unfinished().length === 0) await setTimeout(1);
        doomed.kill('SIGKILL');
      }
      for (const { status, output } of await Promise.all(builds))
        expect({ status, output }).toEqual({ status: 0, output });
      expect(folder.differences('b')).toEqual([]);
      await buildWhole('a');
    }
  });

  it(
    `with different inputs leave all files of one of them, ${MEETINGS} times`,
    async () => {
      const preload = [join(__dirname, 'faults', 'slow-renames.cjs')];
      for (let round = 0; round < MEETINGS; round++) {
        for (const { status, output } of await Promise.all([
          folder.build('a', { preload }),
          folder.build('b', { preload }),
        ])) {
          expect({ round, status, output }).toEqual({ round, status: 0, output });
        }
        const differences = { a: folder.differences('a'), b: folder.differences('b') };
        const whole = (['a', 'b'] as Version[]).find((version) => differences[version].length === 0);
        expect({ round, differences, isWhole: whole !== undefined }).toEqual({ round, differences, isWhole: true });
      }
      expect(folder.unfinished()).toEqual([]);
    },
    60_000 + MEETINGS * 5000,
  );
});

/** Runs a script that may mount file systems. */
const IN_NAMESPACE = ['unshare', '--map-root-user', '--mount', 'sh', '-c'];
const canMount = spawnSync(IN_NAMESPACE[0]!, [...IN_NAMESPACE.slice(1), 'mount -t tmpfs tmpfs /tmp']).status === 0;
const { describe: mounting } = skippedFor(canMount ? undefined : 'a user namespace that may mount');

mounting('a separate file system', () => {
  /** Runs a build with its own mounted file system. */
  async function buildOn(mount: string, version: Version): Promise<string> {
    const point = join(folder.home, 'mounted');
    rmSync(point, { recursive: true, force: true });
    mkdirSync(point);
    const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
    const build = [process.execPath, ...folder.arguments(version, point)].map(quoted).join(' ');
    const prepare = `mount -t tmpfs ${mount} tmpfs ${quoted(point)}`;
    const script = `${prepare} && ${build}; echo "status $?"; ls -A ${quoted(point)}`;
    const { output } = await run(IN_NAMESPACE[0]!, [...IN_NAMESPACE.slice(1), script], { cwd: folder.home });
    expect(readdirSync(point)).toEqual([]);
    return output;
  }

  it('that is full makes a build fail with one error, without leaving files', async () => {
    const output = await buildOn('-o size=2m', 'a');
    expect(output).toMatch(
      /mounted\/image\.igvm: cannot be written: the disk is full \[FILE_UNWRITABLE\]\n.+\nstatus 1\n$/,
    );
  });

  it('that is read-only does the same', async () => {
    const output = await buildOn('-o ro', 'a');
    expect(output).toMatch(
      /mounted\/image\.igvm: cannot be written: the file system is read-only \[FILE_UNWRITABLE\]\n.+\nstatus 1\n$/,
    );
  });
});

/** Root may do anything, so builds run as the user nobody. */
const NOBODY = process.getuid?.() === 0 ? 65534 : undefined;
const isReachable = spawnSync(process.execPath, [PROGRAM, '--version'], { uid: NOBODY }).status === 0;
const { describe: asOthers } = skippedFor(isReachable ? undefined : 'a folder that users other than root can reach');

asOthers('permissions', () => {
  let out: string;
  beforeEach(() => {
    chmodSync(folder.home, 0o755);
    out = join(folder.home, 'permissions');
    mkdirSync(out);
    if (NOBODY !== undefined) chownSync(out, NOBODY, NOBODY);
  });
  afterEach(() => {
    chmodSync(out, 0o755);
    rmSync(out, { recursive: true });
  });

  const build = (to = out): Promise<RunResult> => folder.build('a', { out: to, uid: NOBODY });
  const failure = (file: string, what: string): RunResult => ({
    status: 1,
    output: expect.stringMatching(
      new RegExp(`^error: .*${file}: ${what}: permission denied \\[\\w+\\]\\n  .+\\n$`),
    ) as string,
  });

  it('let a build replace existing files only', async () => {
    expect(await build()).toMatchObject({ status: 0 });
    const before = readdirSync(out);
    chmodSync(out, 0o555);
    expect(await build()).toEqual(failure('image.igvm', 'cannot be written'));
    expect(readdirSync(out)).toEqual(before);
    expect(folder.differences('a', out)).toEqual([]);
  });

  it('can prevent it from creating its folder', async () => {
    chmodSync(out, 0o555);
    expect(await build(join(out, 'deeper', 'still'))).toEqual(failure('image.igvm', 'cannot be written'));
    expect(readdirSync(out)).toEqual([]);
  });

  it('can prevent it from listing the folder, which it does not need', async () => {
    chmodSync(out, 0o333);
    expect(await build()).toMatchObject({ status: 0 });
    chmodSync(out, 0o755);
    expect(folder.differences('a', out)).toEqual([]);
  });

  it('can prevent it from reading a resource', async () => {
    const kernel = join(folder.home, 'kernel');
    chmodSync(kernel, 0);
    try {
      expect(await build()).toEqual(failure('kernel', 'cannot be read'));
    } finally {
      chmodSync(kernel, 0o644);
    }
    expect(readdirSync(out)).toEqual([]);
  });
});
