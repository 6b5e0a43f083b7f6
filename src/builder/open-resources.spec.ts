import { createHash } from 'node:crypto';
import { bytesSource } from '../memory/byte-source';
import { verifyDigest } from './open-resources';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytes, bzImageFile } from '../loader/formats/kernel.fixture';
import type { ResourceName } from '../manifest/model';
import { ukiFile } from '../uki/uki.fixture';
import { buildImage } from './build-image';
import { failureOf, guest, linux, requestIn } from './build-request.fixture';
import { buildWithExternalLoader } from './external-loader';
import { packKernel } from './pack-kernel';

describe('a pinned file', () => {
  const where = { file: 'igvm.json', line: 3, column: 5 };
  const source = bytesSource(Buffer.from('content'));
  const digest = createHash('sha256').update('content').digest('hex');

  it('has the SHA-256 that is stated, in either case', () => {
    expect(() => verifyDigest(source, 'k', { sha256: digest, where })).not.toThrow();
    expect(() => verifyDigest(source, 'k', { sha256: digest.toUpperCase(), where })).not.toThrow();
  });

  it('is refused with both digests, at the place that states one', () => {
    const other = '0'.repeat(64);
    expect(() => verifyDigest(source, 'k', { sha256: other, where })).toThrow(
      expect.objectContaining({
        code: 'RESOURCE_DIGEST',
        message: `k has the SHA-256 ${digest}, not ${other}`,
        where,
      }),
    );
  });
});

const COMMAND_LINE = 'console=ttyS0 root=/dev/vda';
const PARTS = {
  '.osrel': 'PRETTY_NAME="Test 1"\n',
  // dracut ends it with a NUL.
  '.cmdline': `${COMMAND_LINE}\0`,
  '.linux': bzImageFile(bytes(0x2010, 1)),
  '.initrd': bytes(0x1801, 9),
};

let folder: string;
let out: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-uki-'));
  out = join(folder, 'out');
  mkdirSync(out);
  writeFileSync(join(folder, 'linux.efi'), ukiFile(PARTS));
  writeFileSync(join(folder, 'vmlinuz'), PARTS['.linux']);
  writeFileSync(join(folder, 'initrd'), PARTS['.initrd']);
  writeFileSync(join(folder, 'cmdline'), COMMAND_LINE);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request = (files: Partial<Record<ResourceName, string>>, commandLine = '') =>
  requestIn(folder, out, [guest(linux({ command_line: commandLine }))], files);
const image = (): Buffer => readFileSync(join(out, 'image.igvm'));
const build = async (files: Partial<Record<ResourceName, string>>, commandLine?: string) => {
  const report = await buildImage(request(files, commandLine));
  return { report, image: image() };
};
const UKI = 'linux.efi';

describe('a UKI as a resource of a Linux image', () => {
  it('provides its kernel, its initrd and its command line', async () => {
    const apart = await build({ linux_kernel: 'vmlinuz', linux_initrd: 'initrd', linux_command_line: 'cmdline' });
    const { report, image: whole } = await build({ linux_kernel: UKI, linux_initrd: UKI, linux_command_line: UKI });
    expect(whole.equals(apart.image)).toBe(true);
    expect(apart.report.notes).toEqual([]);
    expect(report.notes).toEqual([
      `${UKI} is a UKI: .osrel "Test 1", .cmdline "${COMMAND_LINE}", .linux 9232 bytes, .initrd 6145 bytes`,
    ]);
  });

  it('may provide one of them, and the report says which parts are unused', async () => {
    const apart = await build({ linux_kernel: 'vmlinuz', linux_initrd: 'initrd' }, 'quiet');
    const { report, image: mixed } = await build({ linux_kernel: UKI, linux_initrd: 'initrd' }, 'quiet');
    expect(mixed.equals(apart.image)).toBe(true);
    expect(report.notes[0]).toMatch(
      /; its \.initrd is not in the image: linux_initrd takes it; its \.cmdline is not in the image: linux_command_line takes it$/,
    );
    const initrd = await build({ linux_kernel: 'vmlinuz', linux_initrd: UKI }, 'quiet');
    expect(initrd.image.equals(apart.image)).toBe(true);
  });

  it.each<[string, Partial<typeof PARTS>, ResourceName]>([
    ['.initrd', { '.linux': PARTS['.linux'], '.cmdline': 'a' }, 'linux_initrd'],
    ['.cmdline', { '.linux': PARTS['.linux'], '.initrd': PARTS['.initrd'] }, 'linux_command_line'],
    ['.cmdline', { ...PARTS, '.cmdline': '' }, 'linux_command_line'],
  ])('is refused if it lacks a required part: %s', async (section, parts, name) => {
    writeFileSync(join(folder, 'less.efi'), ukiFile(parts as typeof PARTS));
    const error = await failureOf(build({ linux_kernel: 'vmlinuz', linux_initrd: 'initrd', [name]: 'less.efi' }));
    expect([error.code, error.where.file]).toEqual(['EFI_DATA_INVALID', 'less.efi']);
    expect(error.message).toContain(`has no ${section} for ${name}`);
  });

  it('is refused when it is damaged, and not used as an initrd', async () => {
    const uki = ukiFile(PARTS);
    writeFileSync(join(folder, 'cut.efi'), uki.subarray(0, uki.length - 6145));
    const error = await failureOf(build({ linux_kernel: 'vmlinuz', linux_initrd: 'cut.efi' }));
    expect([error.code, error.where.file]).toEqual(['EFI_DATA_INVALID', 'cut.efi']);
    expect(error.message).toContain('its section .initrd lies outside the file');
  });

  it('reports its faults with their offsets in the file', async () => {
    const broken = bzImageFile(bytes(0x2010, 1), { version: 0x200 });
    const uki = ukiFile({ ...PARTS, '.linux': broken });
    writeFileSync(join(folder, 'old.efi'), uki);
    const error = await failureOf(build({ linux_kernel: 'old.efi', linux_initrd: 'initrd' }));
    expect([error.code, error.where.file]).toEqual(['KERNEL_INVALID', 'old.efi']);
    expect(error.where.offset).toBe(uki.indexOf(broken) + 0x206);
    writeFileSync(join(folder, 'lines.efi'), ukiFile({ ...PARTS, '.cmdline': 'a\nb' }));
    const lines = await failureOf(
      build({ linux_kernel: 'vmlinuz', linux_initrd: 'initrd', linux_command_line: 'lines.efi' }),
    );
    expect([lines.code, lines.where.file]).toEqual(['COMMAND_LINE_TEXT', 'lines.efi']);
  });

  it('is enough for packing a kernel, and explicit options take precedence', async () => {
    const pack = { memory: 2 ** 28, output: join(out, 'image.igvm') };
    const packed = async (more: Partial<Parameters<typeof packKernel>[0]>): Promise<Buffer> => {
      await packKernel({ ...pack, kernel: { path: join(folder, UKI) }, ...more });
      return image();
    };
    const apart = { kernel: { path: join(folder, 'vmlinuz') }, initrd: { path: join(folder, 'initrd') } };
    const expected = await packed({ ...apart, commandLine: COMMAND_LINE });
    expect((await packed({})).equals(expected)).toBe(true);
    const quiet = await packed({ ...apart, commandLine: 'quiet' });
    expect((await packed({ commandLine: 'quiet' })).equals(quiet)).toBe(true);
    const other = { path: join(folder, 'cmdline') };
    const replaced = await packed({ ...apart, initrd: other, commandLine: COMMAND_LINE });
    expect((await packed({ initrd: other })).equals(replaced)).toBe(true);
  });

  it('is split into its parts for another igvmfilegen, which does not know UKIs', async () => {
    const loader = join(folder, 'igvmfilegen');
    // Writes its inputs, concatenated.
    writeFileSync(
      loader,
      `#!${process.execPath}
const { readFileSync, writeFileSync } = require('node:fs');
const value = (name) => process.argv[process.argv.indexOf(name) + 1];
const { resources } = JSON.parse(readFileSync(value('--resources'), 'utf8'));
writeFileSync(value('--output'), Buffer.concat([resources.linux_kernel, resources.linux_initrd].map((path) => readFileSync(path))));
`,
    );
    chmodSync(loader, 0o755);
    const manifest = join(folder, 'igvm.json');
    writeFileSync(manifest, '{}');
    const { manifest: loaded, resources, output } = request({ linux_kernel: UKI, linux_initrd: UKI });
    await buildWithExternalLoader({ loader, manifest, loaded, resources, output });
    expect(image().equals(Buffer.concat([PARTS['.linux'], PARTS['.initrd']]))).toBe(true);
  });
});
