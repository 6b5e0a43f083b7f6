/** Neither the content nor the name of a file may affect the terminal of the person who looks at it. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInputs } from '../../conformance/make-inputs';
import { fakeQemu } from '../boot/fake-vmm.fixture';
import { rewriteImage } from '../files/igvm-image';
import { NX_IGVM, run } from './programs';

/** Clears the screen in three ways, reverses text, fakes a line, and ends with a zero-width character. */
const HOSTILE = '\u001b[2J\u009b2J\u001bc \u202Egnirts\u202C\r\nerror: faked\u2028line\u200b\u007f\u{e0041}';

/** A possible name of a file. */
const NAME = HOSTILE.replaceAll('/', '');

/** A possible name of a region in a map file, whose lines end at line breaks. */
const TAG = HOSTILE.replaceAll(/[\r\n\u2028]/g, '');

const UNPRINTABLE = /[^\P{C}\n]|[\u2028\u2029]/u;

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'nx-igvm-terminal-'));
  makeInputs(cwd, ['vmlinux-x64.elf']);
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const guest = (commandLine = HOSTILE, more: object = {}): object => ({
  guest_svn: 1,
  max_vtl: 0,
  isolation_type: 'none',
  image: { linux: { use_initrd: false, command_line: commandLine, boot_data: 'embedded', memory_size: 2 ** 28 } },
  ...more,
});
const TDX = guest('', {
  max_vtl: 2,
  isolation_type: { tdx: { enable_debug: false, sept_ve_disable: true } },
  image: 'none',
});

function write(name: string, content: object | string): void {
  writeFileSync(join(cwd, name), typeof content === 'string' ? content : JSON.stringify(content));
}

const manifest = (guests: object, more: object = {}): object => ({
  guest_arch: 'x64',
  guest_configs: [guests],
  resources: { linux_kernel: 'vmlinux-x64.elf' },
  ...more,
});

/** Runs a command. @returns its output, which must be plain lines of text */
async function show(...args: string[]): Promise<string> {
  let shown = '';
  const take = (text: string): void => void (shown += text);
  await run(NX_IGVM, args, { cwd, stdout: take, stderr: take, isInteractive: false });
  expect(shown).not.toBe('');
  expect(UNPRINTABLE.exec(shown)?.[0].codePointAt(0)?.toString(16)).toBeUndefined();
  expect(shown).not.toMatch(/^error: faked/m);
  return shown;
}

/** Builds an image and its map, whose regions get hostile names. */
async function build(guests: object, name: string): Promise<void> {
  write('igvm.json', manifest(guests));
  await show('build', 'igvm.json', '-o', name);
  const map = join(cwd, `${name}.map`);
  writeFileSync(map, readFileSync(map, 'utf8').replaceAll(/(bytes\)) .*/g, `$1 ${TAG}`));
}

describe('a terminal is safe from', () => {
  it('a manifest with a mistake', async () => {
    write('igvm.json', manifest(guest(HOSTILE, { [HOSTILE]: HOSTILE, isolation_type: HOSTILE })));
    expect(await show('build', 'igvm.json')).toContain('\\u{9b}2J');
    write('igvm.json', manifest(guest(), { [HOSTILE]: 1, name: 'x' }));
    expect(await show('build', 'igvm.json', '--strict')).toContain('[MANIFEST_UNKNOWN_KEY]');
    write('igvm.json', `{ "a": ${HOSTILE} }`);
    expect(await show('build', 'igvm.json')).toContain('[MANIFEST_SYNTAX]');
  });

  it('the names of files', async () => {
    write(`${NAME}.igvm.json`, manifest(guest()));
    expect(await show('build', `${NAME}.igvm.json`)).toContain('\\u{1b}[2J');
    for (const command of ['dump', 'measure', 'export', 'inspect', 'dump-corim']) {
      await show(command, `${NAME}.igvm`);
      await show(command, `${NAME}.missing`);
    }
    expect(await show('verify', `${NAME}.igvm`, '--lock', `${NAME}.lock.json`)).toContain('\\u{1b}[2J');
    expect(await show('verify', `${NAME}.missing`, '--lock', 'any.lock.json')).toContain('\\u{1b}[2J');
    write('v.igvm.json', manifest(TDX));
    await show('build', 'v.igvm.json', '-o', 'v.igvm');
    expect(await show('verify', 'v.igvm', '--lock', `${NAME}.lock.json`)).toContain('[LOCK_MISSING]');
    await show('pack', `${NAME}.missing`);
    expect(await show('pack', 'vmlinux-x64.elf', '-c', HOSTILE, '-o', `${NAME}.igvm`)).toContain('\\u{1b}[2J');
    write('igvm.json', manifest(guest(), { resources: { linux_kernel: `${NAME}*` } }));
    expect(await show('build', 'igvm.json')).toContain('[RESOURCE_PATH]');
    expect(await show('dump-corim', `${NAME}.igvm`, '--json', '-o', NAME)).toContain('"corims": []');
  });

  it('the entries of an initramfs', async () => {
    mkdirSync(join(cwd, 'rootfs'));
    write(`rootfs/${NAME}`, '');
    await show('initrd', 'rootfs', '-o', NAME);
    write('initrd.json', { folder: 'rootfs', modes: { [`not ${HOSTILE}`]: '644' }, [HOSTILE]: 1 });
    expect(await show('initrd', 'initrd.json')).toContain('[INITRD_ENTRY]');
  });

  it('the contents of an image', async () => {
    await build(guest(), 'a.igvm');
    await rewriteImage(join(cwd, 'a.igvm'), join(cwd, 'b.igvm'), (file) => ({
      ...file,
      initializations: [...file.initializations, { type: 'versionString', value: HOSTILE }],
    }));
    expect(await show('dump', 'b.igvm')).toContain('\\u{9b}2J');
    expect(await show('dump', '--json', 'b.igvm')).toContain('\\u009b2J');
    expect(await show('inspect', '--format', 'json', 'b.igvm')).toContain('\\u009b2J');
    expect(await show('diff', 'a.igvm', 'b.igvm')).toContain('\\u{9b}2J');
    for (const args of [['measure'], ['inspect', '--format', 'text']]) await show(...args, 'b.igvm');
  });

  it('the map beside an image, in text and in JSON', async () => {
    await build(guest(), 'a.igvm');
    await build(guest('other'), 'b.igvm');
    expect(await show('diff', 'a.igvm', 'b.igvm')).toContain('[\\u{1b}[2J');
    const { guests } = JSON.parse(await show('diff', 'a.igvm', 'b.igvm', '--json')) as {
      guests: { pages: { tags: string[] }[] }[];
    };
    const tags = guests.flatMap(({ pages }) => pages.flatMap((page) => page.tags));
    expect(tags).toContain(TAG);
  });

  it('a measurement lock', async () => {
    await build(TDX, 'a.igvm');
    await show('measure', 'a.igvm', '--update-lock', 'igvm.lock.json');
    const lock = JSON.parse(readFileSync(join(cwd, 'igvm.lock.json'), 'utf8')) as {
      platforms: { tdx: { headers: object; registers: object; digests: object; regions: object[] } };
    };
    const { tdx } = lock.platforms;
    const region = {
      gpa: '0x5000',
      size: '0x1000',
      kind: 'data',
      measured: true,
      tag: HOSTILE,
      sha256: '0'.repeat(64),
    };
    const wrong = {
      ...tdx,
      digests: [{ digest: '0'.repeat(96) }],
      headers: { [HOSTILE]: HOSTILE },
      registers: { [HOSTILE]: HOSTILE },
      regions: [region, ...tdx.regions],
    };
    write('igvm.lock.json', { ...lock, platforms: { tdx: wrong } });
    expect(await show('verify', 'a.igvm', '--lock', 'igvm.lock.json')).toContain('[LOCK_MISMATCH]');
    write('igvm.lock.json', { ...lock, platforms: { tdx: { ...wrong, digests: [{ digest: HOSTILE }] } } });
    expect(await show('verify', 'a.igvm', '--lock', 'igvm.lock.json')).toContain('[LOCK_INVALID]');
    copyFileSync(join(cwd, 'igvm.lock.json'), join(cwd, NAME));
    expect(await show('verify', 'a.igvm', '--lock', NAME)).toContain('\\u{1b}[2J');
  });

  it('options, and the path of a VMM', async () => {
    await build(guest(), 'a.igvm');
    expect(await show('boot', 'a.igvm', '--memory', HOSTILE)).toContain('[BOOT_OPTION]');
    expect(await show('boot', 'a.igvm', '--vmm-path', join(cwd, NAME))).toContain('[VMM_MISSING]');
    const qemu = fakeQemu(cwd, { output: 'ready' });
    const until = await show(
      'boot',
      'a.igvm',
      '--vmm-path',
      qemu,
      '--accel=tcg',
      '--until',
      HOSTILE.replaceAll('[', '\\['),
    );
    expect(until).toContain('[BOOT_NO_MATCH]');
  });
});
