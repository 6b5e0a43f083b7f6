import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInputs } from '../../conformance/make-inputs';
import { shownPath } from '../files/file-failure';
import { buildManifest } from './build-manifest';
import { failureOf } from './build-request.fixture';

const RESOURCES = {
  linux_kernel: 'vmlinux-x64.elf',
  underhill_kernel: 'vmlinux-x64.elf',
  underhill_initrd: 'initrd-small.bin',
  openhcl_boot: 'openhcl_boot-x64.elf',
};

const LONG = 'x'.repeat(5000);
const SNP = { policy: 0, enable_debug: false, injection_type: 'normal', secure_avic: 'disabled' };

const guest = (image: object, max_vtl: number, isolation_type: object | 'none' = 'none'): object => ({
  guest_svn: 1,
  max_vtl,
  isolation_type,
  image,
});
const linux = (more: object): object => ({ linux: { use_initrd: false, command_line: '', ...more } });
const openhcl = (more: object): object => ({ openhcl: { command_line: '', memory_page_count: 16384, ...more } });
const direct = (more: object): object => ({
  snp_linux_direct: {
    ...linux({}),
    processor_count: 1,
    memory_page_count: 16384,
    c_bit_position: 51,
    ...more,
  },
});

describe('a build from a manifest', () => {
  let folder: string;
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'nx-igvm-manifest-')));
    mkdirSync(join(folder, 'workspace'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const workspaceRoot = () => join(folder, 'workspace');
  const manifestOf = (config: object, resources: object) => {
    const manifest = join(workspaceRoot(), 'igvm.json');
    writeFileSync(manifest, JSON.stringify({ guest_arch: 'x64', guest_configs: [config], resources }));
    return manifest;
  };
  const build = (manifest: string) =>
    buildManifest({
      manifest,
      workspaceRoot: workspaceRoot(),
      output: join(folder, 'image.igvm'),
      display: (path) => shownPath(workspaceRoot(), path),
    });

  it('reports conflicting values and missing files together', async () => {
    const config = guest(linux({ boot_data: 'embedded', use_initrd: true, memorySize: 4096 }), 0);
    const { code, also } = await failureOf(build(manifestOf(config, { linux_kernel: 'nowhere/k' })));
    expect([code, ...also.map((error) => error.code)]).toEqual([
      'MANIFEST_CONFLICT',
      'MANIFEST_UNKNOWN_KEY',
      'RESOURCE_MISSING',
      'FILE_UNREADABLE',
    ]);
  });

  it('notes which of its files lie outside the workspace', async () => {
    makeInputs(folder, ['vmlinux-x64.elf', 'initrd-small.bin']);
    renameSync(join(folder, 'vmlinux-x64.elf'), join(folder, 'kernel'));
    symlinkSync(folder, join(workspaceRoot(), 'link'));
    const config = guest(linux({ use_initrd: true }), 0);
    const resources = { linux_kernel: join(folder, 'kernel'), linux_initrd: 'link/initrd-small.bin' };
    const { notes } = await build(manifestOf(config, resources));
    expect(notes.filter((note) => note.includes('workspace'))).toEqual([
      `linux_kernel is a file outside the workspace: ${join(folder, 'kernel')}`,
      'linux_initrd is behind a link that leads out of the workspace: link/initrd-small.bin',
    ]);
  });

  it('reads no manifest through a link that leads out of the workspace', async () => {
    const manifest = manifestOf(guest(linux({}), 0), {});
    renameSync(manifest, join(folder, 'igvm.json'));
    symlinkSync('../igvm.json', manifest);
    expect(await failureOf(build(manifest))).toMatchObject({ code: 'FILE_UNREADABLE', where: { file: 'igvm.json' } });
  });
});

describe('a value that only the loader can find invalid', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-manifest-'));
    makeInputs(folder, Object.values(RESOURCES));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['command_line', guest(linux({ command_line: LONG }), 0), true],
    ['memory_size', guest(linux({ memory_size: 2 ** 24 }), 0), true],
    ['command_line', guest(openhcl({ command_line: LONG }), 2), false],
    ['command_line', guest(openhcl(linux({ command_line: LONG })), 2), false],
    ['memory_page_count', guest(openhcl({ memory_page_count: 512 }), 2), false],
    ['command_line', guest(direct(linux({ command_line: LONG })), 0, { snp: SNP }), true],
    ['memory_page_count', guest(direct({ memory_page_count: 4096 }), 0, { snp: SNP }), true],
    ['processor_count', guest(direct({ processor_count: 65535 }), 0, { snp: SNP }), true],
  ])('is reported at its key: %s (%#)', async (key, config, isAlone) => {
    const manifest = join(folder, 'igvm.json');
    const other = guest('none' as unknown as object, 2, { tdx: { enable_debug: false, sept_ve_disable: false } });
    const guests = isAlone ? [config] : [other, config];
    writeFileSync(
      manifest,
      JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources: RESOURCES }, undefined, 2),
    );
    const { where } = await failureOf(buildManifest({ manifest, output: join(folder, 'image.igvm') }));
    expect(where.file).toBe(manifest);
    const line = readFileSync(manifest, 'utf8').split('\n')[where.line! - 1]!;
    const value = line.indexOf(': ') + 2;
    expect(line.slice(0, value).trim()).toBe(`"${key}":`);
    expect(where.column).toBe(value + 1);
  });
});
