import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, sha256Hex } from '../files/hashes';
import { memorySink } from '../igvm/file-data';
import { writeIgvm } from '../igvm/write-igvm';
import { bootImage, type BootRequest } from './boot-image';
import { collecting, fakeQemu } from './fake-vmm.fixture';
import type { KvmAnswer } from './kvm-probe';
import { nativeImage } from './native-image.fixture';

let answer: KvmAnswer;
/** Runs during the probe of KVM. */
let meanwhile: () => void;
jest.mock('./kvm-probe', () => ({
  askKvm: (_: unknown, { signal }: { signal: AbortSignal }) => {
    meanwhile();
    signal.throwIfAborted();
    return Promise.resolve(answer);
  },
}));

describe('a boot that chooses its accelerator', () => {
  let folder: string;
  let output: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-stopped-'));
    output = '';
    meanwhile = () => undefined;
    const sink = memorySink();
    await writeIgvm(nativeImage(), sink, { crc32, sha256Hex });
    writeFileSync(join(folder, 'my.igvm'), sink.bytes());
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const boot = (accel?: 'kvm', more: Partial<BootRequest> = {}) =>
    bootImage({
      image: join(folder, 'my.igvm'),
      vmmPath: fakeQemu(folder, { output: 'hello' }),
      accel,
      stdout: collecting((text) => (output += text)),
      stderr: (text) => void (output += text),
      ...more,
    });

  it.each([undefined, 'kvm' as const])('ends at a signal without starting a guest (accel %s)', async (accel) => {
    meanwhile = () => void process.emit('SIGINT', 'SIGINT');
    expect(await boot(accel)).toMatchObject({ by: 'stopped', signal: 'SIGINT', failure: undefined });
    expect(output).toBe('');
  });

  it('fails if it is stopped before the expected output or end', async () => {
    meanwhile = () => void process.emit('SIGTERM', 'SIGTERM');
    for (const waits of [{ until: 'hello' }, { timeout: 9 }]) {
      expect((await boot(undefined, waits)).failure).toMatchObject({ code: 'BOOT_STOPPED' });
    }
    const gone = new AbortController();
    meanwhile = () => gone.abort();
    const { failure } = await boot(undefined, { until: 'hello', signal: gone.signal });
    expect(failure).toMatchObject({ code: 'BOOT_STOPPED' });
  });

  it('continues without KVM if it is not usable, unless KVM is requested', async () => {
    answer = { is: 'unusable', problem: 'there is no /dev/kvm' };
    expect(await boot()).toMatchObject({ by: 'exited', accel: 'tcg' });
    expect(output).toMatch(/^nx-igvm: there is no \/dev\/kvm; using TCG, which is slower\nnx-igvm: QEMU 7[^]*hello/);
    await expect(boot('kvm')).rejects.toMatchObject({ code: 'KVM_UNUSABLE', message: 'there is no /dev/kvm' });
  });
});
