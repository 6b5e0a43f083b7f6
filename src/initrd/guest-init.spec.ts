import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble, needingAssembler } from '../boot/assemble.fixture';
import { skippedFor } from '../boot/needing.fixture';
import { isStaticExecutable } from '../generators/initrd/generator';
import { GUEST_INIT, INIT_ARCHITECTURES } from './guest-init';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-init-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.each(INIT_ARCHITECTURES)('the first program of a guest for %s', (arch) => {
  const { it: assembled } = needingAssembler(arch);
  const bytes = Buffer.from(GUEST_INIT[arch]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

  assembled('has the bytes that its source assembles to', () => {
    const { code } = assemble(arch, join(__dirname, `guest-init-${arch}.S`));
    expect(bytes.toString('hex')).toBe(code.toString('hex'));
  });

  it('is an ELF program with one segment, which is never writable, and without an executable stack', () => {
    expect(isStaticExecutable(bytes)).toBe(true);
    expect(view.getUint16(16, true)).toBe(2);
    expect(view.getUint16(18, true)).toBe(arch === 'x64' ? 62 : 183);
    const header = (index: number) => {
      const at = Number(view.getBigUint64(32, true)) + index * view.getUint16(54, true);
      return {
        type: view.getUint32(at, true),
        flags: view.getUint32(at + 4, true),
        numbers: [8, 16, 24, 32, 40, 48].map((offset) => Number(view.getBigUint64(at + offset, true))),
      };
    };
    expect(view.getUint16(56, true)).toBe(2);
    const alignment = arch === 'x64' ? 0x1000 : 0x10000;
    expect(header(0)).toEqual({
      type: 1,
      flags: 5,
      numbers: [0, 0x400000, 0x400000, bytes.length, bytes.length, alignment],
    });
    expect(header(1)).toMatchObject({ type: 0x6474e551, flags: 6 });
    const entry = Number(view.getBigUint64(24, true)) - 0x400000;
    expect(entry).toBe(64 + 2 * 56);
  });

  it('reports that the guest is up with the text that boots wait for', () => {
    // The name of the system follows, which the kernel reports: "is up: Linux".
    expect(bytes.includes(Buffer.from('guest is up: \0'))).toBe(true);
  });
});

const runsHere = process.platform === 'linux' && process.arch === 'x64';
skippedFor(runsHere ? undefined : 'Linux on x86-64').it(
  'the first program does nothing if another program runs it',
  () => {
    const program = join(folder, 'init');
    writeFileSync(program, GUEST_INIT.x64, { mode: 0o755 });
    const { status, stdout } = spawnSync(program, ['/bin/true'], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: 'init: this is the first program of a guest and does nothing as any other\n',
    });
  },
);
