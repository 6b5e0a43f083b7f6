import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, sha256Hex } from '../files/checksum';
import { memorySink } from '../igvm/sink';
import { writeIgvm } from '../igvm/write-igvm';
import { bootImage } from './boot-image';
import { fakeQemu } from './fake-vmm.fixture';
import type { KvmAnswer } from './kvm-probe';
import { nativeImage } from './native-image.fixture';

let answer: KvmAnswer;
jest.mock('./kvm-probe', () => ({ askKvm: () => Promise.resolve(answer) }));

describe('a boot whose accelerator is looked for', () => {
  let folder: string;
  let output: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-stopped-'));
    output = '';
    const sink = memorySink();
    await writeIgvm(nativeImage(), sink, { crc32, sha256Hex });
    writeFileSync(join(folder, 'my.igvm'), sink.bytes());
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const boot = (accel?: 'kvm') =>
    bootImage({
      image: join(folder, 'my.igvm'),
      vmmPath: fakeQemu(folder, { output: 'hello' }),
      accel,
      stdout: (text) => void (output += text),
      stderr: (text) => void (output += text),
    });

  it.each([undefined, 'kvm' as const])(
    'ends with a signal that comes then, and starts no guest (accel %s)',
    async (accel) => {
      answer = { is: 'stopped', end: { by: 'stopped', signal: 'SIGINT', exitCode: 1, messages: '' } };
      expect(await boot(accel)).toMatchObject({ by: 'stopped', signal: 'SIGINT' });
      expect(output).toBe('');
    },
  );

  it('goes on without KVM where that is of no use, unless KVM is asked for', async () => {
    answer = { is: 'unusable', problem: 'there is no /dev/kvm' };
    expect(await boot()).toMatchObject({ by: 'exited', accel: 'tcg' });
    expect(output).toMatch(/^nx-igvm: there is no \/dev\/kvm; using TCG, which is slower\n[^]*hello/);
    await expect(boot('kvm')).rejects.toMatchObject({ code: 'KVM_UNUSABLE', message: 'there is no /dev/kvm' });
  });
});
