import { chmodSync, rmSync } from 'node:fs';
import { bytesOf, imageWith, manifestOf } from './caching/images';
import { changed, input } from './harness/inputs';
import { NX_VERSION, NX_VERSIONS } from './harness/template';
import { Workspace } from './harness/workspace';

/**
 * A loader that writes an image of some bytes and ends as soon as two instances run at the same time. A single instance
 * gives up.
 */
const MEETING_LOADER = `#!/usr/bin/env node
const { existsSync, readdirSync, writeFileSync } = require('node:fs');
const { basename, join } = require('node:path');
const output = process.argv[process.argv.indexOf('--output') + 1];
const meeting = join(__dirname, 'meeting');
writeFileSync(join(meeting, basename(output)), '');
const end = Date.now() + 60_000;
setInterval(() => {
  if (readdirSync(meeting).filter((name) => name.endsWith('.igvm')).length >= 2) {
    writeFileSync(output, 'built by a loader');
    process.exit(0);
  }
  if (Date.now() > end) process.exit(3);
}, 20);
`;

/** Nx builds the images of a run in one process. Users must notice no difference except the time. */
describe.each([
  [NX_VERSION, 4],
  // This Nx hashes an image too early if its input is another image of the batch, so such an image must stay out of the batch.
  [NX_VERSIONS[22], 3],
])('building many images at once, on Nx %s', (nx, inBatch) => {
  let workspace: Workspace;
  const NAMES = ['a', 'b', 'c', 'on-a'];
  // The build doesn't check the kind of OpenHCL's own initrd, so it can be an image.
  const PARAVISOR = imageWith('underhill_initrd');
  const A = { project: 'a', target: 'build', path: 'dist/images/a/a.igvm' };
  const ON_A = {
    ...Object.fromEntries(PARAVISOR.uses.map((binary) => [binary, `{workspaceRoot}/shared/${binary}`])),
    underhill_initrd: A,
  };
  beforeAll(async () => {
    workspace = await Workspace.create({ nx });
    workspace.write('.gitignore', 'node_modules\n.nx\ndist\n');
    workspace.write('shared/linux_kernel', input('vmlinux-x64.elf'));
    workspace.write('shared/linux_initrd', input('initrd-small.bin'));
    for (const binary of PARAVISOR.uses) workspace.write(`shared/${binary}`, bytesOf(binary));
    for (const name of ['a', 'b', 'c']) add(name);
    // The image of one project, packed into that of another: both are built in one process, one after the other.
    const alone = inBatch === 4 ? {} : { build: { parallelism: false } };
    add('on-a', ON_A, alone);
    await workspace.commit('images');
  });
  afterAll(() => workspace.dispose());

  function add(name: string, resources: Record<string, unknown> = {}, targets: Record<string, unknown> = {}): void {
    const isParavisor = 'underhill_initrd' in resources;
    const all = {
      linux_kernel: '{workspaceRoot}/shared/linux_kernel',
      linux_initrd: '{workspaceRoot}/shared/linux_initrd',
    };
    const { guest } = isParavisor ? PARAVISOR : imageWith('linux_initrd');
    workspace.writeJson(`images/${name}/project.json`, { name, targets });
    workspace.writeJson(`images/${name}/igvm.json`, manifestOf(guest, isParavisor ? resources : all));
  }

  const image = (name: string): Buffer => workspace.read(`dist/images/${name}/${name}.igvm`);
  const states = async (names = NAMES): Promise<Record<string, string>> =>
    Object.fromEntries(await workspace.states(names.map((name) => `${name}:build`)));
  const all = (state: string, names = NAMES): Record<string, string> =>
    Object.fromEntries(names.map((name) => [`${name}:build`, state]));

  it('shows and caches each image with its own output', async () => {
    const output = await workspace.nxOk('run-many', '-t', 'build', '--outputStyle=static');
    expect(output).toContain(`Running ${inBatch} tasks with nx-igvm:build`);
    for (const name of NAMES) {
      const start = output.indexOf(`nx run ${name}:build`);
      const block = output.slice(start, output.indexOf('nx run ', start + 8));
      expect(block).toContain(`dist/images/${name}/${name}.igvm: `);
      expect(block.match(/\.igvm: /g)).toHaveLength(1);
      expect(image(name).includes(input('initrd-small.bin').subarray(0, 4096))).toBe(true);
    }
    expect(await states()).toEqual(all('hit'));
    expect(await workspace.nxOk('run', 'a:build')).toContain('dist/images/a/a.igvm: ');
  });

  it('builds an image after the image that it uses', async () => {
    const before = image('on-a');
    workspace.updateJson<{ resources: Record<string, unknown> }>('images/a/igvm.json', ({ resources }) => {
      resources['linux_initrd'] = 'initrd.bin';
    });
    workspace.write('images/a/initrd.bin', changed(input('initrd-small.bin')));
    expect(await states()).toEqual({ ...all('hit'), 'a:build': 'built', 'on-a:build': 'built' });
    expect(image('on-a').equals(before)).toBe(false);
    expect(image('on-a').includes(image('a').subarray(4096, 8192))).toBe(true);
    expect(await states()).toEqual(all('hit'));

    workspace.write('images/a/initrd.bin', input('initrd-small.bin'));
    // In a batch, Nx doesn't look into the cache for an image whose input was just built.
    expect(await states()).toEqual({
      ...all('hit'),
      'a:build': 'built',
      'on-a:build': inBatch === 4 ? 'built' : 'hit',
    });
    expect(image('on-a').equals(before)).toBe(true);
    workspace.write('images/a/initrd.bin', changed(input('initrd-small.bin')));
    expect(await states()).toEqual(all('hit'));
  });

  it('refuses an image that would be cached under an outdated hash', async () => {
    add('other-on-a', ON_A);
    workspace.write('images/a/initrd.bin', changed(input('initrd-small.bin'), 0x1900));
    const { output } = await workspace.nx('run', 'other-on-a:build', '--outputStyle=static');
    const isRefused = output.includes(
      'other-on-a:build reads what a:build writes, and runs in one batch with it [NX_BATCH_HASHES]',
    );
    expect(isRefused).toBe(inBatch !== 4);
    rmSync(workspace.path('images/other-on-a'), { recursive: true });
  });

  it('fails only one image and those that use it', async () => {
    workspace.write('images/a/initrd.bin', changed(changed(input('initrd-small.bin')).subarray(1)));
    workspace.updateJson<{ guest_arch: string }>('images/a/igvm.json', (manifest) => {
      manifest.guest_arch = 'x46';
    });
    workspace.write('shared/linux_initrd', changed(input('initrd-small.bin')));
    // Nx would refuse the whole batch for an option that it considers wrong.
    add('typo', {}, { build: { options: { outputpath: 'dist' } } });
    add('no-flag', {}, { build: { options: { strict: 'yes' } } });
    add('no-path', {}, { build: { options: { outputPath: ['dist', 7, {}] } } });
    const wrong = ['typo', 'no-flag', 'no-path'];
    expect(await states([...NAMES, ...wrong])).toEqual({
      ...all('built'),
      'a:build': 'failed',
      'on-a:build': 'skipped',
      ...all('failed', wrong),
    });
    const { status, output } = await workspace.nx('run-many', '-t', 'build', '--outputStyle=static');
    expect(status).not.toBe(0);
    expect(output).toMatch(/images\/a\/igvm\.json:\d+:\d+: .*\[MANIFEST_INVALID\]/);
    expect(output).toContain('did you mean "outputPath"? [NX_OPTION_INVALID]');
    expect(output).toContain('takes a boolean for the option "strict", not "yes" [NX_OPTION_INVALID]');
    expect(output).toContain('takes a string for the option "outputPath", not ["dist",7,{}] [NX_OPTION_INVALID]');
    expect(output).not.toMatch(/^ +at .*\.js:\d+/m);
  });

  it('builds the same files without a batch', async () => {
    const before = image('b');
    await workspace.nxOk('run', 'b:build', '--skip-nx-cache', '--batch=false');
    expect(image('b').equals(before)).toBe(true);
  });

  it('does not wait for a slow image', async () => {
    workspace.write('loader/meeting/.gitkeep', '');
    workspace.write('loader/loader.js', MEETING_LOADER);
    chmodSync(workspace.path('loader/loader.js'), 0o755);
    const slow = ['slow-1', 'slow-2'];
    for (const name of slow) add(name, {}, { build: { options: { loader: 'loader/loader.js' } } });
    expect(await states([...slow, 'b', 'c'])).toEqual({ ...all('built', slow), ...all('hit', ['b', 'c']) });
    for (const name of slow) expect(image(name).toString()).toBe('built by a loader');
  });
});
