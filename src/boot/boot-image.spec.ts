import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, sha256Hex } from '../files/checksum';
import type { Directive } from '../igvm/model';
import { memorySink } from '../igvm/sink';
import { writeIgvm } from '../igvm/write-igvm';
import { bootImage, type BootRequest } from './boot-image';
import { exportImage } from './export-file';
import { fakeQemu } from './fake-vmm.fixture';
import { KERNEL, loadElf, nativeImage, pageData, parameter } from './native-image.fixture';

// Every run starts three processes, which takes a while where other tests run beside.
jest.setTimeout(30_000);

describe('booting an image', () => {
  let folder: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-boot-test-'));
    output = '';
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function imageFile(more: Directive[] = [], ramEnd = 0): Promise<string> {
    const sink = memorySink();
    await writeIgvm(nativeImage(more, { ramEnd }), sink, { crc32, sha256Hex });
    const path = join(folder, 'my.igvm');
    writeFileSync(path, sink.bytes());
    return path;
  }

  const boot = async (request: Partial<BootRequest> = {}) =>
    bootImage({
      image: request.image ?? (await imageFile()),
      label: 'my.igvm',
      vmmPath: request.vmmPath ?? fakeQemu(folder, { output: 'hello guest' }),
      accel: 'tcg',
      stdout: (text) => void (output += text),
      stderr: () => undefined,
      ...request,
    });

  it('exports it and removes the export at the end', async () => {
    const result = await boot({ vmmArgs: ['-s'] });
    expect(result).toMatchObject({ by: 'exited', way: 'pvh', accel: 'tcg', vmm: 'qemu', failure: undefined });
    expect(output).toContain('hello guest');
    expect(output).toContain('"-s"]');
    expect(output).toContain('"-m","512M"');
    const [, kernel = ''] = /"-kernel","([^"]+)"/.exec(output) ?? [];
    expect(kernel).toMatch(/guest\.elf$/);
    expect(existsSync(kernel)).toBe(false);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`nx-igvm-boot-${process.pid}-`))).toEqual([]);
  });

  it('lets a VMM that can load it do so, with the image’s tables', async () => {
    const vmmPath = fakeQemu(folder, { igvm: true });
    const image = await imageFile(parameter(0, 0x9000, 'vpCount'), 0x10000000);
    expect(await boot({ vmmPath, image, cpus: 2 })).toMatchObject({ way: 'igvm' });
    expect(output).toContain(`file=${image}`);
    for (const change of [{ tables: 'vmm' }, { commandLine: 'a' }] as const) {
      const line = [...parameter(0, 0x9000, 'vpCount'), pageData(0xa000)];
      expect(await boot({ vmmPath, image: await imageFile(line), ...change })).toMatchObject({ way: 'pvh' });
    }
    // Without ACPI and an MP table it would have one processor, whatever is asked for.
    expect(await boot({ vmmPath, cpus: 2, image: await imageFile() })).toMatchObject({ way: 'pvh' });
    const forVmm = await imageFile(parameter(0, 0xa000, 'commandLine', { initial: 'quiet\0' }));
    expect(await boot({ vmmPath, image: forVmm })).toMatchObject({ way: 'pvh' });
  });

  it('succeeds when the output matches', async () => {
    expect(await boot({ until: '^hello g.est$' })).toMatchObject({ by: 'matched', failure: undefined });
  });

  it('fails when it does not', async () => {
    const { failure } = await boot({ until: '^good night$' });
    expect(failure).toMatchObject({ code: 'BOOT_NO_MATCH', where: { file: 'my.igvm' } });
  });

  it('fails when the VMM does, with what it said', async () => {
    await expect(boot({ vmmPath: fakeQemu(folder, { exitCode: 2 }) })).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: 'QEMU ended with exit code 2: fake: does not want to',
    });
  });

  it('makes the VM as large as the image needs', async () => {
    const required = { gpa: 0x100000, compatibilityMask: 1, size: 2 ** 30 - 0x100000, vtl2Protectable: false };
    await boot({ image: await imageFile([{ type: 'requiredMemory', ...required }]) });
    expect(output).toContain('"-m","1024M"');
  });

  it.each(['image', 'auto'] as const)(
    'makes the VM as large as the image tells its guest (tables: %s)',
    async (tables) => {
      await boot({ image: await imageFile([], 2 ** 31), tables });
      expect(output).toContain('"-m","2048M"');
      output = '';
      await boot({ image: await imageFile([], 2 ** 31), tables: 'vmm' });
      expect(output).toContain('"-m","512M"');
      const small = boot({ image: await imageFile([], 2 ** 31), tables, memory: '1G' });
      await expect(small).rejects.toMatchObject({
        code: 'BOOT_MEMORY',
        message: expect.stringContaining('needs 2048 MiB'),
      });
      const high = boot({ image: await imageFile([], 2 ** 32), tables });
      await expect(high).rejects.toMatchObject({
        code: 'BOOT_MEMORY',
        message: expect.stringContaining('a memory map'),
      });
    },
  );

  it('makes room for the pages that are staged above the image', async () => {
    // The only gap below its end is too small for them, and Cloud Hypervisor has no firmware that wants room there anyway.
    const image = await imageFile([pageData(0x101000, 0xff)]);
    const vmmPath = fakeQemu(folder, { name: 'cloud-hypervisor' });
    const exact = boot({ image, memory: KERNEL + 4 * 4096, vmmPath, accel: 'kvm' });
    await expect(exact).rejects.toMatchObject({ code: 'BOOT_MEMORY' });
  });

  it.each([
    ['below its pages', '2M', [pageData(0x400000)]],
    ['without room for firmware', '18M', [pageData(0x400000)]],
    [
      'below required memory',
      '512M',
      [{ type: 'requiredMemory', gpa: 0x100000, compatibilityMask: 1, size: 2 ** 30, vtl2Protectable: false }],
    ],
    ['because VMMs have a gap there', '4G', [pageData(0x80000000)]],
  ] as [string, string, Directive[]][])('does not start a VM that is too small: %s', async (_, memory, more) => {
    await expect(boot({ memory, image: await imageFile(more) })).rejects.toMatchObject({
      code: 'BOOT_MEMORY',
      where: { file: 'my.igvm' },
    });
    expect(output).toBe('');
  });

  it.each([
    [{ until: '(' }, 'regular expression'],
    [{ timeout: 0 }, 'timeout is 0'],
    [{ timeout: Number.NaN }, 'timeout is NaN'],
    [{ cpus: 0 }, 'cpus is 0'],
    [{ cpus: 300 }, 'cpus is 300'],
    [{ memory: '512' }, 'memory "512"'],
  ])('refuses %j', async (request, text) => {
    await expect(boot(request)).rejects.toMatchObject({
      code: 'BOOT_OPTION',
      message: expect.stringContaining(text) as string,
    });
  });

  it('refuses KVM of a VMM without it', async () => {
    await expect(boot({ accel: 'kvm' })).rejects.toMatchObject({ code: 'KVM_UNUSABLE' });
  });

  it('falls back to TCG and says so', async () => {
    let note = '';
    const { accel } = await boot({ accel: 'auto', stderr: (text) => void (note += text) });
    expect(accel).toBe('tcg');
    expect(note).toContain('using TCG');
  });

  it('names the image in what is wrong with it', async () => {
    const image = join(folder, 'broken.igvm');
    writeFileSync(image, 'no image');
    await expect(boot({ image })).rejects.toMatchObject({ code: 'IGVM_MALFORMED', where: { file: 'my.igvm' } });
  });
});

describe('exporting an image', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-export-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('writes the whole file or none', async () => {
    const sink = memorySink();
    await writeIgvm(nativeImage(), sink, { crc32, sha256Hex });
    const [image, elf] = [join(folder, 'a.igvm'), join(folder, 'a.elf')];
    writeFileSync(image, sink.bytes());
    const { entry } = await exportImage(image, elf);
    await expect(exportImage(image, image)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(loadElf(readFileSync(elf)).entry).toBe(entry);
    await expect(exportImage(image, join(folder, 'b.elf'), { commandLine: 'x' })).rejects.toMatchObject({
      code: 'BOOT_PARAMETER',
      where: { file: image },
    });
    expect(readdirSync(folder).sort()).toEqual(['a.elf', 'a.igvm']);
  });
});
