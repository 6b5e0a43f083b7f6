import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { skippedFor } from '../boot/needing.fixture';
import { makeProcessFolder, processMark } from './process-folder';

const isRoot = process.getuid?.() === 0;

describe('a folder of this process', () => {
  let parent: string;
  beforeEach(() => (parent = mkdtempSync(join(tmpdir(), 'nx-igvm-folders-'))));
  afterEach(() => rmSync(parent, { recursive: true }));

  const [place = '', , start = ''] = processMark().split('-');
  const goneProcess = (): number => spawnSync(process.execPath, ['-e', '']).pid;

  /** A folder with a file, as left by a process with this mark. */
  function folderOf(purpose: string, mark: string): string {
    const path = join(parent, `nx-igvm-${purpose}-${mark}-abcdef`);
    mkdirSync(path, { mode: 0o700 });
    writeFileSync(join(path, 'image.elf'), '');
    return path;
  }

  it('is made beside those of running processes, and those of ended processes are removed', () => {
    const pid = goneProcess();
    const gone = [folderOf('boot', `${place}-${pid}-1`), folderOf('loader', `${place}-${pid}-${start}`)];
    const kept = [
      folderOf('other', `${place}-${pid}-1`),
      folderOf('boot', `${place}-${process.pid}-${start}`),
      // Another machine, container, sandbox or boot of this machine.
      folderOf('boot', `0123456789abcdef-${pid}-1`),
      // The names of an earlier version, without the machine.
      folderOf('boot', String(pid)),
    ];
    const made = makeProcessFolder('loader', parent);
    expect(basename(made).startsWith(`nx-igvm-loader-${processMark()}-`)).toBe(true);
    expect(gone.filter(existsSync)).toEqual([]);
    expect(readdirSync(parent).sort()).toEqual([...kept, made].map((path) => basename(path)).sort());
  });

  it('distinguishes a process from an earlier one with the same ID', () => {
    if (process.platform !== 'linux') return;
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    try {
      const [, , childStart] = markOf(child.pid ?? 0).split('-');
      const running = folderOf('boot', `${place}-${child.pid}-${childStart}`);
      const earlier = folderOf('loader', `${place}-${child.pid}-1`);
      makeProcessFolder('boot', parent);
      expect([running, earlier].map(existsSync)).toEqual([true, false]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  /** The mark of a process as another process sees it. */
  function markOf(pid: number): string {
    const script = `const s=require('fs').readFileSync('/proc/${pid}/stat','latin1');
      process.stdout.write(s.slice(s.lastIndexOf(')')+2).split(' ')[19])`;
    return `${place}-${pid}-${spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stdout}`;
  }

  it('removes nothing that other users can write to, and follows no link', () => {
    const mark = `${place}-${goneProcess()}-1`;
    const open = folderOf('boot', mark);
    chmodSync(open, 0o777);
    const elsewhere = join(parent, 'elsewhere');
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(parent, `nx-igvm-loader-${mark}-abcdef`));
    makeProcessFolder('boot', parent);
    expect([open, elsewhere].map(existsSync)).toEqual([true, true]);
  });

  skippedFor(isRoot ? undefined : 'root').it('removes nothing of another user', () => {
    const other = folderOf('boot', `${place}-${goneProcess()}-1`);
    chownSync(other, 4242, 4242);
    makeProcessFolder('boot', parent);
    expect(existsSync(other)).toBe(true);
  });

  skippedFor(isRoot && process.platform === 'linux' ? undefined : 'root on Linux').it(
    'is kept by processes of another PID namespace',
    () => {
      const mine = makeProcessFolder('boot', parent);
      // In the other namespace, no process has the ID of this one.
      const args = ['-pf', process.execPath, '-p', 'require("fs").readlinkSync("/proc/self/ns/pid")'];
      const inside = spawnSync('unshare', args, { encoding: 'utf8' });
      if (inside.status !== 0) return;
      const script = `
      const { transformSync } = require(${JSON.stringify(require.resolve('@swc/core'))});
      const { readFileSync } = require('fs');
      require.extensions['.ts'] = (module, path) => module._compile(transformSync(readFileSync(path, 'utf8'), {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } }).code, path);
      const { makeProcessFolder } = require(${JSON.stringify(require.resolve('./process-folder'))});
      process.stdout.write(makeProcessFolder('boot', ${JSON.stringify(parent)}));`;
      const run = spawnSync('unshare', ['-pf', process.execPath, '-e', script], { encoding: 'utf8' });
      expect(run.stderr).toBe('');
      expect(existsSync(run.stdout)).toBe(true);
      expect(existsSync(mine)).toBe(true);
      // And vice versa.
      makeProcessFolder('boot', parent);
      expect(existsSync(run.stdout)).toBe(true);
    },
  );

  it('reports where it cannot be made', () => {
    const missing = join(parent, 'missing');
    expect(() => makeProcessFolder('boot', missing)).toThrow(
      expect.objectContaining({ code: 'FILE_UNWRITABLE', where: { file: missing } }),
    );
  });
});
