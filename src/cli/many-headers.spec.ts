/** Images with more headers than a call can have arguments. Spreading them into a call would overflow the stack. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fakeQemu } from '../boot/fake-vmm.fixture';
import { nativeImage, pageData } from '../boot/native-image.fixture';
import { crc32, sha256Hex } from '../files/hashes';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { memorySink } from '../igvm/file-data';
import { writeIgvm } from '../igvm/write-igvm';
import { EMPTY_SOURCE } from '../memory/byte-source';
import { NX_IGVM, run } from './programs';

const MANY = 150_000;

jest.setTimeout(240_000);

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-many-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function write(name: string, file: IgvmFile): Promise<void> {
  const sink = memorySink();
  await writeIgvm(file, sink, { crc32, sha256Hex });
  writeFileSync(join(folder, name), sink.bytes());
}

/** The output of a command, in which a bug must not have been reported. */
async function nxIgvm(...args: string[]): Promise<string> {
  let said = '';
  const take = (text: string): void => void (said += text.slice(0, 1 << 20));
  await run(NX_IGVM, args, { cwd: folder, stdout: take, stderr: take, isInteractive: false });
  expect(said).not.toMatch(/internal error|call stack/);
  return said;
}

const each = (make: (index: number) => Directive): Directive[] =>
  Array.from({ length: MANY }, (_, index) => make(index));

/** An SEV-SNP image with only these directives. */
function snpImage(directives: Directive[]): IgvmFile {
  const image = nativeImage();
  return {
    ...image,
    platforms: [{ ...image.platforms[0]!, platformType: PLATFORM_TYPE.SEV_SNP }],
    initializations: [{ type: 'guestPolicy', compatibilityMask: 1, policy: 0x30000n }],
    directives,
  };
}

describe('commands can handle hundreds of thousands of', () => {
  it('parameters', async () => {
    const area: Directive[] = [
      { type: 'parameterArea', size: 4096, index: 0, initialData: EMPTY_SOURCE },
      ...each((index) => ({ type: 'parameter', kind: 'vpCount', index: 0, byteOffset: (index % 1024) * 4 })),
      { type: 'parameterInsert', gpa: 0x9000, compatibilityMask: 1, index: 0 },
    ];
    await write('parameters.igvm', nativeImage(area));
    expect(await nxIgvm('export', 'parameters.igvm')).toContain('PVH entry');
    const vmm = ['--vmm-path', fakeQemu(folder, { output: 'up' }), '--accel=tcg'];
    expect(await nxIgvm('boot', 'parameters.igvm', ...vmm, '--until=up')).toContain('up');
    for (const command of ['dump', 'measure', 'inspect']) await nxIgvm(command, 'parameters.igvm');
    await nxIgvm('diff', 'parameters.igvm', 'parameters.igvm');
  });

  it('pages at the same addresses', async () => {
    // None is next to the one before: these would be one run of pages.
    const pages = each((index) => pageData((index % 8) * 8192));
    await write('pages.igvm', snpImage(pages));
    const onKvm = await nxIgvm('measure', 'pages.igvm', '--vmm=qemu-kvm', '--cpu=EPYC-Milan');
    expect(onKvm).toContain('it adds a page twice');
    for (const args of [['measure'], ['dump'], ['inspect'], ['inspect', '--format=json'], ['export']]) {
      await nxIgvm(args[0]!, 'pages.igvm', ...args.slice(1));
    }
    await nxIgvm('diff', 'pages.igvm', 'parameters.igvm');
  });

  it('pages that exist twice, at different addresses', async () => {
    const pages = each((index) => pageData(index * 8192));
    await write('twice.igvm', snpImage([...pages, ...pages]));
    expect(await nxIgvm('lint', 'twice.igvm')).toContain('it adds a page twice');
  });
});
