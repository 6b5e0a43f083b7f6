/** The changes of locks that a reviewer sees: between two files, and between two revisions of a repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { marked } from 'marked';
import { needing } from '../boot/needing.fixture';
import { NX_IGVM, run } from '../cli/programs';
import { lockText } from './lock-file';
import { lockOf, tdxFile } from './lock.fixture';
import type { MeasurementLock } from './lock-schema';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-changes-'))));
afterEach(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string | object): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
}

async function diff(...args: string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const add = (piece: string): void => void (text += piece);
  const code = await run(NX_IGVM, ['diff', ...args], { cwd: folder, stdout: add, stderr: add, isInteractive: false });
  return { code, text };
}

const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
function commit(subject: string): void {
  git('add', '-A');
  git('commit', '-q', '-m', subject);
}

const lock = async (initrd: number): Promise<MeasurementLock> => lockOf(tdxFile(1, initrd));
const digestOf = (each: MeasurementLock): string => each.platforms['tdx']!.digests![0]!.digest;
const manifest = (commandLine: string, initrd: string): object => ({
  guest_configs: [{ image: { linux: { command_line: commandLine } } }],
  resources: { linux_initrd: initrd, linux_kernel: { path: 'k', sha256: 'ab' } },
});

describe('two locks', () => {
  it('are compared by digests and regions, whatever the layout of the files', async () => {
    const [a, b] = [await lock(2), await lock(3)];
    put('a.lock.json', lockText(a));
    put('b.lock.json', lockText(b));
    put('c.lock.json', a);
    const { code, text } = await diff('a.lock.json', 'b.lock.json');
    expect(code).toBe(1);
    for (const part of [digestOf(a), digestOf(b), 'linux-initrd 0x1000-0x2000: other contents'])
      expect(text).toContain(part);
    expect(await diff('a.lock.json', 'c.lock.json')).toEqual({
      code: 0,
      text: expect.stringContaining('No launch digest'),
    });
    const { locks } = JSON.parse((await diff('a.lock.json', 'b.lock.json', '--json')).text) as { locks: object[] };
    expect(locks).toMatchObject([
      { differences: [{ platform: 'tdx', digests: [{ expected: digestOf(a), actual: digestOf(b) }] }] },
    ]);
  });

  it('are compared only with each other', async () => {
    put('a.lock.json', await lock(2));
    put('a.igvm', 'IGVM');
    expect(await diff('a.lock.json', 'a.igvm')).toEqual({
      code: 2,
      text: expect.stringContaining('a lock with a lock'),
    });
    expect(await diff('a.lock.json')).toEqual({ code: 2, text: expect.stringContaining('two files') });
    put('b.lock.json', '{}');
    expect(await diff('a.lock.json', 'b.lock.json')).toEqual({
      code: 1,
      text: expect.stringContaining('LOCK_INVALID'),
    });
  });
});

needing('git').describe('two revisions', () => {
  beforeEach(async () => {
    git('init', '-q', '-b', 'main');
    put('vm/igvm.lock.json', lockText(await lock(2)));
    put('vm/igvm.json', manifest('console=ttyS0', 'old.cpio'));
    put('other/b.igvm.lock.json', lockText(await lock(7)));
    commit('First');
    put('vm/igvm.lock.json', lockText(await lock(3)));
    put('vm/igvm.json', manifest('console=ttyS0 quiet', 'new.cpio'));
    commit('Second');
  });

  it('show digests before and after, regions, resources and the command line as text', async () => {
    const { code, text } = await diff('--revisions', 'main~1..main', '--format', 'markdown');
    expect(code).toBe(0);
    const [a, b] = [digestOf(await lock(2)), digestOf(await lock(3))];
    expect(text).toContain(`| any launch | \`${a}\` | \`${b}\` |`);
    expect(text).toContain('```diff\n- console=ttyS0\n+ console=ttyS0 quiet\n```');
    expect(text).toContain('- `linux-initrd 0x1000-0x2000: other contents`');
    expect(text).toContain('- `resource linux_initrd: old.cpio before, now new.cpio`');
    expect(text).not.toContain('linux_kernel');
    expect(text).not.toContain('b.igvm.lock.json');
    const page = await marked.parse(text);
    expect(page).toContain('<table>');
    expect((await diff('--revisions', 'main~1..main')).code).toBe(1);
    expect(await diff('--revisions', 'main..main', '--format', 'markdown')).toEqual({
      code: 0,
      text: 'No launch digest that a lock expects has changed.\n',
    });
  });

  it('may be the merge base of two branches, or the working tree', async () => {
    git('checkout', '-q', '-b', 'topic', 'main~1');
    put('other/b.igvm.lock.json', lockText(await lock(8)));
    put('new/igvm.lock.json', lockText(await lock(9)));
    const working = await diff('--revisions', 'HEAD');
    expect(working.text).toMatch(/^new\/igvm\.lock\.json:\n {2}The lock is new\.\n[^]*\nother\/b\.igvm\.lock\.json:/);
    expect(working.text).toContain(digestOf(await lock(9)));
    expect((await diff('--revisions', 'HEAD', 'other/b.igvm.lock.json')).text).toMatch(/^other\/b/);
    commit('Third');
    const parted = await diff('--revisions', 'main...topic', '--json');
    const { locks } = JSON.parse(parted.text) as { locks: { name: string }[] };
    expect(locks.map(({ name }) => name)).toEqual(['new/igvm.lock.json', 'other/b.igvm.lock.json']);
    git('rm', '-q', 'vm/igvm.lock.json');
    expect((await diff('--revisions', 'HEAD')).text).toContain('The lock was removed');
  });

  it('with a lock of another version in one of them are reported', async () => {
    put('vm/igvm.lock.json', { lockVersion: 1, digests: {} });
    expect((await diff('--revisions', 'HEAD')).text).toMatch(/The lock after can't be read: it has version 1/);
  });

  it.each(['main..nowhere', 'nowhere', '--output=x', 'main..--output=x'])(
    'cannot be %s, which is not a revision',
    async (range) => {
      expect(await diff(`--revisions=${range}`)).toEqual({
        code: 1,
        text: expect.stringMatching(/is not a revision.*GIT_FAILED/),
      });
    },
  );
});

needing('git').it('Markdown does not interpret names of files and texts of images', async () => {
  git('init', '-q');
  const hostile = 'x`](javascript:1) <img src=x> **b** | @admin #1 https://a.example ~~`` \u202e';
  const state = async (initrd: number): Promise<MeasurementLock> => {
    const each = await lock(initrd);
    each.platforms['tdx']!.regions[1]!.tag = `${hostile}\\|`;
    each.platforms['tdx']!.headers = { [hostile]: `${hostile} ${initrd}` };
    return each;
  };
  const name = 'a`|<b>*x*.igvm';
  put(`${name}.lock.json`, lockText(await state(2)));
  put(`${name}.json`, manifest(`${hostile}\n\`\`\`\n# title`, 'a'));
  commit('First');
  put(`${name}.lock.json`, lockText(await state(3)));
  put(`${name}.json`, manifest(`${hostile}\n\`\`\`\`\n# title`, '| b |'));
  const { text } = await diff('--revisions', 'HEAD', '--format', 'markdown');
  // Nothing in code is interpreted. The rest is our own text.
  const page = await marked.parse(text);
  const outside = page.replaceAll(/<code[^>]*>[^]*?<\/code>/g, 'CODE');
  expect(outside).not.toMatch(/img|javascript|admin|example|title|<b>|<em>|<a |<del>/);
  expect(outside.match(/<tr>\n(<t[hd]>[^<]*<\/t[hd]>\n){3}<\/tr>/g)).toHaveLength(2);
  expect(outside.match(/<h\d>/g)).toEqual(['<h3>']);
  expect(page).toContain('&lt;img src=x&gt;');
  expect(text).toContain('\\u{202e}');
  put(`${name}.lock.json`, { ...(await lock(3)), [hostile]: 1 });
  const unreadable = await marked.parse((await diff('--revisions', 'HEAD', '--format', 'markdown')).text);
  expect(unreadable).toContain('lock after can');
  expect(unreadable.replaceAll(/<code[^>]*>[^]*?<\/code>/g, 'CODE')).not.toMatch(/img|javascript|admin|example/);
});
