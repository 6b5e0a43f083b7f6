import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, sha256Hex } from '../files/hashes';
import { processMark } from '../files/process-folder';
import { dll } from '../igvm/firmware-dll.fixture';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { memorySink } from '../igvm/file-data';
import { bytesSource } from '../memory/byte-source';
import { writeIgvm } from '../igvm/write-igvm';
import { ovmfFirmware } from '../loader/ovmf/ovmf-firmware.fixture';
import { addPrograms } from '../loader/ovmf/update';
import { wrapFirmware, type WrapOptions } from '../loader/ovmf/wrap';
import { bootImage, type BootRequest } from './boot-image';
import { exportImage } from './pvh-export';
import { collecting, fakeQemu } from './fake-vmm.fixture';
import { KERNEL, loadElf, nativeImage, pageData, parameter } from './native-image.fixture';

/** Called with an image once it is open. */
let mockAfterOpening = (): void => undefined;
jest.mock('../files/file-source', () => {
  const actual = jest.requireActual<typeof import('../files/file-source')>('../files/file-source');
  return {
    ...actual,
    openFileSource: (path: string) => {
      const opened = actual.openFileSource(path);
      mockAfterOpening();
      return opened;
    },
  };
});

// Every run starts three processes, which is slow while other tests run.
jest.setTimeout(30_000);

describe('booting an image', () => {
  let folder: string;
  let output: string;
  let messages: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-boot-test-'));
    output = '';
    messages = '';
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const imageFile = (more: Directive[] = [], ramEnd = 0): Promise<string> =>
    writtenImage(nativeImage(more, { ramEnd }));
  async function writtenImage(file: IgvmFile): Promise<string> {
    const sink = memorySink();
    await writeIgvm(file, sink, { crc32, sha256Hex });
    const path = join(folder, 'my.igvm');
    writeFileSync(path, sink.bytes());
    return path;
  }

  const boot = async (request: Partial<BootRequest> = {}) =>
    bootImage({
      image: request.image ?? (await imageFile()),
      vmmPath: request.vmmPath ?? fakeQemu(folder, { output: 'hello guest' }),
      accel: 'tcg',
      stdout: collecting((text) => (output += text)),
      stderr: (text) => void (messages += text),
      ...request,
    });

  it('exports the image and removes the export at the end', async () => {
    const result = await boot({ vmmArgs: ['-s'] });
    expect(result).toMatchObject({ by: 'exited', way: 'pvh', accel: 'tcg', vmm: 'qemu', failure: undefined });
    expect(output).toContain('hello guest');
    expect(output).toContain('"-s"]');
    expect(output).toContain('"-m","512M"');
    const [, kernel = ''] = /"-kernel","([^"]+)"/.exec(output) ?? [];
    expect(kernel).toMatch(/guest\.elf$/);
    expect(existsSync(kernel)).toBe(false);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`nx-igvm-boot-${processMark()}-`))).toEqual([]);
  });

  it('reports the VMM and how it boots the image', async () => {
    await boot();
    expect(messages).toBe('nx-igvm: QEMU 7.2.22 with TCG boots the image as a PVH kernel (way pvh)\n');
    messages = '';
    await boot({ vmmPath: fakeQemu(folder, { igvm: true, version: '11.0.0' }), way: 'igvm' });
    expect(messages).toBe('nx-igvm: QEMU 11.0.0 with TCG loads the image itself (way igvm)\n');
  });

  describe('that the VMM can load itself', () => {
    let vmmPath: string;
    beforeEach(() => (vmmPath = fakeQemu(folder, { igvm: true, version: '10.2.0' })));

    it('still exports it as a kernel, unless told to let the VMM load it', async () => {
      const image = await imageFile(parameter(0, 0x9000, 'vpCount'), 0x10000000);
      expect(await boot({ vmmPath, image })).toMatchObject({ way: 'pvh' });
      expect(output).toContain('"-kernel"');
      output = '';
      expect(await boot({ vmmPath, image, cpus: 2, way: 'igvm' })).toMatchObject({ way: 'igvm' });
      expect(output).toContain(`file=${image}`);
      expect(output).not.toContain('"-kernel"');
    });

    it.each([
      [{ tables: 'vmm' }, 'BOOT_WAY', "the image's tables"],
      [{ commandLine: 'a' }, 'BOOT_WAY', 'command line from the image'],
    ] as const)('refuses options that it cannot follow: %j', async (change, code, text) => {
      const refused = boot({ vmmPath, way: 'igvm', ...change });
      await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(text) as string });
      expect(output).toBe('');
    });

    it('refuses what the VMM would refuse or lose', async () => {
      const image = await imageFile(parameter(0, 0xa000, 'commandLine', { initial: 'quiet\0' }));
      await expect(boot({ vmmPath, image, way: 'igvm' })).rejects.toMatchObject({
        code: 'BOOT_WAY',
        where: { file: image },
      });
      const madt = await imageFile(parameter(0, 0xa000, 'madt'));
      await expect(boot({ vmmPath, image: madt, way: 'igvm' })).rejects.toMatchObject({ code: 'BOOT_WAY' });
      const newer = fakeQemu(folder, { igvm: true, version: '11.0.50' });
      expect(await boot({ vmmPath: newer, image: madt, way: 'igvm' })).toMatchObject({ way: 'igvm' });
    });

    it('names the remedy for an image with CoRIM documents, whatever its platform', async () => {
      const file = nativeImage();
      const [native] = file.platforms;
      const snp = { ...native!, compatibilityMask: 2, platformType: PLATFORM_TYPE.SEV_SNP };
      const corim: IgvmFile['initializations'] = [
        { type: 'corimDocument', compatibilityMask: 2, content: bytesSource(new Uint8Array(8)) },
      ];
      const both = { ...file, platforms: [native!, snp], initializations: corim };
      for (const each of [both, { ...both, platforms: [snp], directives: [] }]) {
        const image = await writtenImage(each);
        for (const igvm of [true, false]) {
          const vmm = fakeQemu(folder, { igvm });
          await expect(boot({ vmmPath: vmm, image, way: 'igvm' })).rejects.toMatchObject({
            code: 'BOOT_WAY',
            message: expect.stringContaining('--no-embed-corim') as string,
          });
        }
      }
    });

    it('ends when the guest has halted, as it cannot power off', async () => {
      const script = "console.log('[    3.14] reboot: System halted'); setInterval(() => {}, 1000);";
      const halting = fakeQemu(folder, { igvm: true, script });
      expect(await boot({ vmmPath: halting, way: 'igvm' })).toMatchObject({ by: 'halted', failure: undefined });
      expect(await boot({ vmmPath: halting, tables: 'image', image: await imageFile([], 2 ** 28) })).toMatchObject({
        by: 'halted',
      });
      const { failure } = await boot({ vmmPath: halting, way: 'igvm', until: 'ready' });
      expect(failure).toMatchObject({ code: 'BOOT_NO_MATCH' });
      // A guest with ACPI ends the VM itself.
      const { by } = await boot({ vmmPath: halting, timeout: 2 });
      expect(by).toBe('timeout');
    });

    it('passes the image inside a firmware DLL as a file', async () => {
      const sink = memorySink();
      await writeIgvm(nativeImage([], { ramEnd: 2 ** 28 }), sink, { crc32, sha256Hex });
      const image = join(folder, 'vmfirmwareigvm.dll');
      writeFileSync(image, dll({ image: sink.bytes() }));
      expect(await boot({ vmmPath, image })).toMatchObject({ way: 'pvh', by: 'exited' });
      const script = `console.log(require('node:fs').readFileSync(/file=(.*)/.exec(args.join(' '))[1].split(' ')[0]).subarray(0, 4).toString());`;
      const reading = fakeQemu(folder, { igvm: true, script });
      expect(await boot({ vmmPath: reading, image, way: 'igvm' })).toMatchObject({ way: 'igvm' });
      expect(output).toContain('IGVM');
    });
  });

  it('is refused with a VMM that cannot load it', async () => {
    await expect(boot({ way: 'igvm' })).rejects.toMatchObject({
      code: 'VMM_UNSUPPORTED',
      message: expect.stringContaining('libigvm') as string,
    });
    const vmmPath = fakeQemu(folder, { name: 'cloud-hypervisor' });
    await expect(boot({ vmmPath, way: 'igvm', accel: 'kvm' })).rejects.toMatchObject({ code: 'VMM_UNSUPPORTED' });
    await expect(boot({ way: 'efi' as 'pvh' })).rejects.toMatchObject({ code: 'BOOT_OPTION' });
  });

  it('fails if the image changes while it is read', async () => {
    const image = await imageFile();
    mockAfterOpening = () => utimesSync(image, 1, 1);
    await expect(boot({ image })).rejects.toMatchObject({ code: 'FILE_CHANGED' });
    mockAfterOpening = () => undefined;
    expect(output).toBe('');
  });

  it('fails if it is stopped from outside before the output matches', async () => {
    const hangs = fakeQemu(folder, { hangs: true });
    const stop = new AbortController();
    const stdout = collecting(() => stop.abort());
    const { by, failure } = await boot({ vmmPath: hangs, until: 'ready', stdout, signal: stop.signal });
    expect(by).toBe('stopped');
    expect(failure).toMatchObject({ code: 'BOOT_STOPPED', where: { file: join(folder, 'my.igvm') } });
    const plain = await boot({ vmmPath: hangs, signal: AbortSignal.timeout(2000) });
    expect(plain).toMatchObject({ by: 'stopped', failure: undefined });
  });

  it('reports a last line that would match if it ended', async () => {
    const script = "process.stdout.write('failed: 1'); setInterval(() => {}, 1000);";
    const { failure } = await boot({ vmmPath: fakeQemu(folder, { script }), until: '^failed: 1$', timeout: 2 });
    expect(failure).toMatchObject({ code: 'BOOT_NO_MATCH', message: expect.stringContaining('"failed: 1"') as string });
  });

  it('succeeds when the output matches', async () => {
    expect(await boot({ until: '^hello g.est$' })).toMatchObject({ by: 'matched', failure: undefined });
  });

  it('fails when the output does not match', async () => {
    const { failure } = await boot({ until: '^good night$' });
    expect(failure).toMatchObject({ code: 'BOOT_NO_MATCH', where: { file: join(folder, 'my.igvm') } });
  });

  it('fails when the VMM fails, with its messages', async () => {
    await expect(boot({ vmmPath: fakeQemu(folder, { exitCode: 2 }) })).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: 'QEMU ended with exit code 2: fake: does not want to',
    });
  });

  it('gives the VM as much memory as the image needs', async () => {
    const required = { gpa: 0x100000, compatibilityMask: 1, size: 2 ** 30 - 0x100000, vtl2Protectable: false };
    await boot({ image: await imageFile([{ type: 'requiredMemory', ...required }]) });
    expect(output).toContain('"-m","1024M"');
  });

  it.each(['image', 'auto'] as const)(
    'gives the VM as much memory as the image’s memory map says (tables: %s)',
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

  it('has enough memory for the pages that are staged above the image', async () => {
    // The only gap below its end is too small for them. Cloud Hypervisor has no firmware that would need room there in any case.
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
      where: { file: join(folder, 'my.igvm') },
    });
    expect(output).toBe('');
  });

  it.each([
    [{ until: '(' }, 'valid regular expression'],
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

  it('refuses KVM with a VMM that lacks it', async () => {
    await expect(boot({ accel: 'kvm' })).rejects.toMatchObject({ code: 'KVM_UNUSABLE' });
  });

  it('falls back to TCG and says so', async () => {
    let note = '';
    const { accel } = await boot({ accel: 'auto', stderr: (text) => void (note += text) });
    expect(accel).toBe('tcg');
    expect(note).toContain('using TCG');
  });

  it('names the image in its errors', async () => {
    const image = join(folder, 'broken.igvm');
    writeFileSync(image, 'no image');
    await expect(boot({ image })).rejects.toMatchObject({
      code: 'IGVM_MALFORMED',
      where: { file: image },
    });
  });
});

describe('booting firmware', () => {
  let folder: string;
  let output: string;
  let messages: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-boot-test-'));
    output = '';
    messages = '';
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const KERNEL_BYTES = Buffer.alloc(5000, 7);
  /** Prints the files that it gets before they are removed. */
  const SHOWS_FILES = `
    const { createHash } = require('node:crypto');
    const { readFileSync } = require('node:fs');
    const files = args.flatMap((arg) => /^loader,file=([^,]+),addr=(0x[0-9a-f]+),/.exec(arg)?.slice(1, 3) ?? []);
    if (args.includes('-bios')) files.push(args[args.indexOf('-bios') + 1], 'bios');
    for (let at = 0; at < files.length; at += 2) {
      const bytes = readFileSync(files[at]);
      console.log(files[at + 1], bytes.length, createHash('sha256').update(bytes).digest('hex'));
    }`;

  async function boot({ bootMode = 'real16' as const, ...request }: Partial<BootRequest> & Partial<WrapOptions> = {}) {
    const firmware = bytesSource(ovmfFirmware());
    const wrapped = wrapFirmware({ firmware, native: true, snp: true, parameters: true, bootMode });
    const sink = memorySink();
    const file = addPrograms(wrapped, { kernel: bytesSource(KERNEL_BYTES) });
    await writeIgvm(file, sink, { crc32, sha256Hex, parameterOffsets: false });
    const image = join(folder, 'my.igvm');
    writeFileSync(image, sink.bytes());
    return bootImage({
      image,
      vmmPath: request.vmmPath ?? fakeQemu(folder, { script: SHOWS_FILES }),
      accel: 'tcg',
      stdout: collecting((text) => (output += text)),
      stderr: (text) => void (messages += text),
      ...request,
    });
  }

  it('starts it as the firmware of the VM, with the added programs in memory', async () => {
    expect(await boot()).toMatchObject({ by: 'exited', way: 'bios', failure: undefined });
    expect(output).toContain('"-m","1025M"');
    expect(output).not.toMatch(/-kernel|igvm-cfg|acpi=off/);
    expect(output).toContain(`bios 65536 ${sha256Hex(ovmfFirmware())}\n`);
    expect(output).toContain(
      `0x20000000 8192 ${sha256Hex(Buffer.concat([KERNEL_BYTES, Buffer.alloc(8192 - 5000)]))}\n`,
    );
    expect(output).toMatch(/^0x809000 4096 /m);
    expect(messages).toBe("nx-igvm: QEMU 7.2.22 with TCG starts the image's firmware (way bios)\n");
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`nx-igvm-boot-${processMark()}-`))).toEqual([]);
  });

  it('lets the VMM load the image if it can, unless told otherwise', async () => {
    const vmmPath = fakeQemu(folder, { igvm: true, version: '10.2.0' });
    expect(await boot({ vmmPath })).toMatchObject({ way: 'igvm' });
    expect(output).toContain(`igvm-cfg,id=igvm,file=${join(folder, 'my.igvm')}`);
    expect(output).toContain('"-m","1025M"');
    output = '';
    expect(await boot({ vmmPath, way: 'bios' })).toMatchObject({ way: 'bios' });
    expect(output).toContain('"-bios"');
  });

  it('reports if the registers of the image have no effect', async () => {
    await boot({ bootMode: 'flat32' });
    expect(messages).toMatch(/^nx-igvm: the firmware starts as after a reset, not with the image's registers/);
  });

  it.each<[Partial<BootRequest>, string, string]>([
    [{ way: 'pvh' }, 'BOOT_WAY', 'with way bios or igvm'],
    [{ way: 'igvm' }, 'VMM_UNSUPPORTED', 'without libigvm'],
    [{ tables: 'image' }, 'BOOT_WAY', 'has no tables'],
    [{ commandLine: 'quiet' }, 'BOOT_WAY', 'from its UKI or boot loader'],
    [{ memory: '512M' }, 'BOOT_MEMORY', 'the image needs'],
    [{ way: 'floppy' as 'pvh' }, 'BOOT_OPTION', 'must be pvh, igvm, bios'],
  ])('refuses options that it cannot follow: %j', async (change, code, text) => {
    const refused = boot(change);
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(text) as string });
    expect(output).toBe('');
  });

  it('starts neither kernels as firmware nor firmware in Cloud Hypervisor', async () => {
    const sink = memorySink();
    await writeIgvm(nativeImage(), sink, { crc32, sha256Hex });
    const image = join(folder, 'kernel.igvm');
    writeFileSync(image, sink.bytes());
    await expect(boot({ image, way: 'bios' })).rejects.toMatchObject({ code: 'BOOT_WAY' });
    const vmmPath = fakeQemu(folder, { name: 'cloud-hypervisor' });
    await expect(boot({ vmmPath })).rejects.toMatchObject({ code: 'VMM_UNSUPPORTED' });
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
