import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { logger } from '../../plugin/workspace-nx';
import { FsTree, flushChanges } from 'nx/src/generators/tree';
import { convertToInferredGenerator } from './generator';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'convert-'));
  write('nx.json', { plugins: ['nx-igvm'] });
  write('package.json', { name: 'workspace', devDependencies: { 'nx-igvm': '0.1.0' } });
  jest.spyOn(logger, 'info').mockImplementation();
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

function write(file: string, value: unknown): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), JSON.stringify(value));
}
const read = (file: string): { targets?: Record<string, unknown>; nx?: object } =>
  JSON.parse(readFileSync(join(root, file), 'utf8')) as object;

/** A workspace with real files, because inference reads them. */
async function convert(project?: string): Promise<void> {
  const tree = new FsTree(root, false);
  await convertToInferredGenerator(tree, { project, skipFormat: true });
  flushChanges(root, tree.listChanges());
}

const MANIFEST = {
  guest_arch: 'x64',
  guest_configs: [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { uefi: { config_type: 'none' } } }],
  resources: { uefi: 'MSVM.fd' },
};

function image(name: string, targets: Record<string, unknown>): void {
  write(`images/${name}/igvm.json`, MANIFEST);
  write(`images/${name}/project.json`, { name, targets });
}

const build = (name: string, more: object = {}): object => ({
  executor: 'nx-igvm:build',
  cache: true,
  inputs: ['{projectRoot}/MSVM.fd', '{projectRoot}/igvm.json'],
  outputs: ['{options.outputPath}'],
  options: { manifest: '{projectRoot}/igvm.json', outputPath: `dist/images/${name}` },
  ...more,
});

describe('convert-to-inferred', () => {
  it('reports that there is nothing to convert', async () => {
    image('one', { lint: { command: 'echo lint' } });
    await convert();
    expect(logger.info).toHaveBeenLastCalledWith(expect.stringContaining('Nothing to convert: no project.json'));
    await convert('one');
    expect(logger.info).toHaveBeenLastCalledWith(expect.stringContaining('package.json of one has targets'));
  });

  it('removes targets that are inferred, and keeps all others', async () => {
    const lint = { command: 'echo lint' };
    image('one', { build: build('one'), lint });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({ lint });
  });

  it('keeps differences as an extension of the inferred target', async () => {
    image('one', {
      build: {
        ...build('one'),
        options: { manifest: 'images/one/igvm.json', outputPath: 'dist/elsewhere', strict: true },
        inputs: ['default', { env: 'FLAVOUR' }],
        dependsOn: ['prepare'],
        configurations: { release: { strict: true } },
      },
    });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({
      build: {
        options: { outputPath: 'dist/elsewhere', strict: true },
        inputs: ['...', { env: 'FLAVOUR' }],
        dependsOn: ['...', 'prepare'],
        configurations: { release: { strict: true } },
      },
    });
  });

  it('does the same in package.json', async () => {
    write('package.json', { name: 'workspace', workspaces: ['images/*'], devDependencies: { 'nx-igvm': '0.1.0' } });
    write('images/one/igvm.json', MANIFEST);
    write('images/one/package.json', { name: 'one', nx: { targets: { build: build('one') } } });
    await convert();
    expect(read('images/one/package.json')).toEqual({ name: 'one', nx: { targets: {} } });
  });

  it('keeps targets that are not inferred in the same way, and gives the reason', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation();
    const renamed = build('one');
    const elsewhere = { ...build('two'), options: { manifest: 'legacy/two.json' } };
    image('one', { image: renamed });
    image('two', { build: elsewhere });
    write('three/project.json', { name: 'three', targets: { build: elsewhere } });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({ image: renamed });
    expect(read('images/two/project.json').targets).toEqual({ build: elsewhere });
    expect(read('three/project.json').targets).toEqual({ build: elsewhere });
    expect(warn.mock.calls.flat()).toEqual([
      expect.stringContaining('one:image stays as it is: it is inferred as "build"'),
      expect.stringContaining('two:build stays as it is: the inferred target of this name is for another file'),
      expect.stringContaining("three:build stays as it is: its file is not in the project's folder"),
    ]);
  });

  it('uses the names of targets from the plugin’s options in nx.json', async () => {
    write('nx.json', { plugins: [{ plugin: 'nx-igvm', options: { build: 'image' } }] });
    image('one', { image: build('one') });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({});
  });

  it('also converts targets for boot, inspect and initrd', async () => {
    image('one', {
      build: build('one'),
      boot: { executor: 'nx-igvm:boot', dependsOn: ['build'], options: { image: 'dist/images/one/one.igvm', cpus: 2 } },
    });
    write('initrd/initrd.json', {});
    write('initrd/project.json', {
      name: 'initrd',
      targets: { build: { executor: 'nx-igvm:initrd', options: { config: '{projectRoot}/initrd.json' } } },
    });
    write('images/one/igvm.json', {
      ...MANIFEST,
      guest_configs: [{ ...MANIFEST.guest_configs[0], image: { linux: { use_initrd: false, command_line: '' } } }],
    });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({ boot: { options: { cpus: 2 } } });
    expect(read('initrd/project.json').targets).toEqual({});
  });

  it('keeps an option that is neither inferred nor the default of its executor', async () => {
    const inspect = (format?: string) => ({
      executor: 'nx-igvm:inspect',
      options: { image: 'dist/images/one/one.igvm', format },
    });
    image('one', { inspect: inspect('text') });
    await convert();
    expect(read('images/one/project.json').targets).toEqual({ inspect: { options: { format: 'text' } } });
    for (const format of [undefined, 'html']) {
      image('one', { inspect: inspect(format) });
      await convert();
      expect(read('images/one/project.json').targets).toEqual({});
    }
  });

  it('converts one project on request, and changes nothing the second time', async () => {
    image('one', { build: build('one') });
    image('two', { build: build('two') });
    await convert('one');
    expect(read('images/one/project.json').targets).toEqual({});
    expect(read('images/two/project.json').targets).toEqual({ build: build('two') });
    await convert('one');
    expect(read('images/one/project.json').targets).toEqual({});
    await expect(convert('none')).rejects.toThrow('there is no project none');
  });
});
