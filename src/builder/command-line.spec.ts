import { pathOf } from '../errors/json-path.fixture';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INPUTS } from '../../conformance/make-inputs';
import { buildManifest } from './build-manifest';
import { failureOf } from './build-request.fixture';

const HASH = 'roothash=4c1f0e51';
const FILES = {
  linux_kernel: 'vmlinux-x64.elf',
  linux_initrd: 'initrd-small.bin',
  underhill_kernel: 'vmlinux-x64.elf',
  underhill_initrd: 'initrd-small.bin',
  openhcl_boot: 'openhcl_boot-x64.elf',
};

const SNP = { policy: 0, enable_debug: false, injection_type: 'normal', secure_avic: 'disabled' };
const kernel = (line: string) => ({ use_initrd: false, command_line: line });
const direct = (line: string) => ({
  isolation_type: { snp: SNP },
  image: {
    snp_linux_direct: { linux: kernel(line), processor_count: 1, memory_page_count: 16384, c_bit_position: 51 },
  },
});
const openhcl = (more: object) => ({
  max_vtl: 2,
  image: { openhcl: { command_line: 'quiet', memory_page_count: 16384, ...more } },
});

describe('the resource linux_command_line', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-command-line-'));
    writeFileSync(join(folder, 'nx.json'), '{}');
    for (const name of new Set(Object.values(FILES))) writeFileSync(join(folder, name), INPUTS[name]!());
    writeFileSync(join(folder, 'root.txt'), `${HASH}\n`);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Builds an image of one guest. @returns its bytes */
  async function build(guest: object, resource: unknown = 'root.txt', more: object = {}): Promise<Buffer> {
    const config = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', ...guest };
    const resources = { ...FILES, ...(resource === null ? {} : { linux_command_line: resource }) };
    const { arch = 'x64', ...options } = more as { arch?: string };
    const manifest = { guest_arch: arch, guest_configs: [config], resources };
    writeFileSync(join(folder, 'igvm.json'), JSON.stringify(manifest));
    const output = join(folder, 'out', 'image.igvm');
    await buildManifest({ manifest: join(folder, 'igvm.json'), output, ...options });
    return readFileSync(output);
  }

  it.each([
    [
      'a linux image',
      (line: string) => ({ image: { linux: { ...kernel(line), boot_data: 'embedded', memory_size: 2 ** 28 } } }),
    ],
    ['a linux image whose VMM may fill it in', (line: string) => ({ image: { linux: kernel(line) } })],
    ['an snp_linux_direct image', direct],
    ['the static line of OpenHCL', (line: string) => openhcl({ command_line: line, static_command_line: true })],
    ['Linux in VTL0 under OpenHCL', (line: string) => openhcl({ linux: kernel(line) })],
  ])('is appended to the command line of %s, with the same result as in the manifest', async (_, guestWith) => {
    const appended = await build(guestWith('quiet'));
    expect(appended.includes(`quiet ${HASH}`)).toBe(true);
    const written = await build(guestWith(`quiet ${HASH}`), null);
    expect(appended.equals(written)).toBe(true);
    expect((await build(guestWith('quiet'), null)).equals(appended)).toBe(false);
  });

  it('leaves the command line of OpenHCL unchanged where Linux in VTL0 has one', async () => {
    const image = await build(openhcl({ command_line: 'paravisor', static_command_line: true, linux: kernel('vtl0') }));
    expect(image.includes(`vtl0 ${HASH}`)).toBe(true);
    expect(image.includes(`paravisor ${HASH}`)).toBe(false);
  });

  it('can be pinned', async () => {
    const sha256 = createHash('sha256').update(`${HASH}\n`).digest('hex');
    const guest = { image: { linux: kernel('quiet') } };
    expect((await build(guest, { path: 'root.txt', sha256 })).includes(HASH)).toBe(true);
    writeFileSync(join(folder, 'root.txt'), 'roothash=other');
    expect(await failureOf(build(guest, { path: 'root.txt', sha256 }))).toMatchObject({ code: 'RESOURCE_DIGEST' });
  });

  it.each([
    ['OpenHCL, whose host could append to it', openhcl({}), 'x64', 'image.openhcl.static_command_line'],
    ['aarch64, where an image has no place for it', { image: { linux: kernel('') } }, 'aarch64', 'image.linux'],
    ['Linux in VTL2, which gets no boot data', { max_vtl: 2, image: { linux: kernel('') } }, 'x64', 'max_vtl'],
    ['Linux under OpenHCL on aarch64', openhcl({ linux: kernel('') }), 'aarch64', 'image.openhcl.linux'],
  ])('is refused for %s', async (_, guest, arch, place) => {
    const error = await failureOf(build(guest, 'root.txt', { arch }));
    expect([error, ...error.also]).toContainEqual(
      expect.objectContaining({
        code: 'MANIFEST_CONFLICT',
        where: expect.objectContaining({ jsonPath: pathOf(`guest_configs[0].${place}`), line: 1 }),
      }),
    );
  });

  it.each([
    ['a linux image', (line: string) => ({ image: { linux: kernel(line) } })],
    ['snp_linux_direct, which otherwise only warns of a long line', direct],
    ['Linux in VTL0, which otherwise only warns of it, too', (line: string) => openhcl({ linux: kernel(line) })],
  ])('must not be truncated by the kernel: %s', async (_, guestWith) => {
    const error = await failureOf(build(guestWith('x'.repeat(2040))));
    expect(error).toMatchObject({ code: 'LAYOUT_OUT_OF_RANGE', message: expect.stringContaining('2058 bytes') });
  });

  it('is read only up to the longest possible command line', async () => {
    writeFileSync(join(folder, 'root.txt'), Buffer.alloc(65537, 0x20));
    const error = await failureOf(build({ image: { linux: kernel('') } }));
    expect(error).toMatchObject({ code: 'COMMAND_LINE_TEXT', where: { file: 'root.txt' } });
    expect(error.message).toMatch(/65537 bytes/);
  });

  (process.platform === 'win32' ? it.skip : it)('reaches an external loader in the manifest that it gets', async () => {
    const loader = join(folder, 'loader');
    const program = `#!${process.execPath}
const fs = require('node:fs');
const args = process.argv;
const after = (name) => args[args.indexOf(name) + 1];
fs.writeFileSync(after('--output'), fs.readFileSync(after('--manifest')) + fs.readFileSync(after('--resources')));
`;
    writeFileSync(loader, program, { mode: 0o755 });
    const policy = '18446744073709551615';
    const text = (await build({ ...direct('quiet') }, 'root.txt', { loader })).toString();
    expect(text).toContain(`"command_line":"quiet ${HASH}"`);
    expect(text.slice(text.lastIndexOf('{"resources"'))).not.toContain('linux_command_line');
    // Numbers that JavaScript can't represent stay exact.
    const manifest = readFileSync(join(folder, 'igvm.json'), 'utf8').replace('"policy":0', `"policy":${policy}`);
    writeFileSync(join(folder, 'igvm.json'), manifest);
    const output = join(folder, 'out', 'image.igvm');
    await buildManifest({ manifest: join(folder, 'igvm.json'), output, loader });
    expect(readFileSync(output, 'utf8')).toContain(`"policy":${policy}`);
  });
});
