/** Finds the origin of a digest: a launch of an image, or a state of its lock. */
import { execFileSync } from 'node:child_process';
import { needing } from '../boot/needing.fixture';
import { NX_IGVM, run as runProgram } from '../cli/programs';
import { digestHex } from '../errors/printable';
import { launchesOf } from '../measurement/launches';
import { fileOf, run, written } from '../measurement/measured-guest.fixture';
import { measureLaunches } from '../measurement/measure';
import { lockText } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import type { LaunchRequest } from '../manifest/model';
import type { IgvmFile } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { amdChain, signedReport } from './amd-chain.fixture';
import { inFolder, put } from './evidence-run.fixture';
import { snpGuest } from './own-guest.fixture';

async function digestOf(request: LaunchRequest, file = snpGuest()): Promise<string> {
  const { measurements } = await measureLaunches(file, { platforms: ['snp'], launches: launchesOf(request) });
  return digestHex(measurements[0]!.digest);
}

interface Answer {
  found: { platform: string; vmm?: string; vcpus?: number; cpu?: string; refusals: string[] }[];
  policies: { report?: string; agree: boolean }[];
  history: { change: string; commit?: string; subject?: string; launches: object[] }[];
  tried: string[];
}

async function explain(...args: string[]): Promise<{ code: number; answer: Answer; text: string }> {
  const runOnce = async (...more: string[]) => {
    let text = '';
    const add = (piece: string): void => void (text += piece);
    const environment = { cwd: inFolder('.'), stdout: add, stderr: add, isInteractive: false };
    const code = await runProgram(NX_IGVM, ['explain', ...args, ...more], environment);
    return { code, text };
  };
  const [forPeople, forPrograms] = [await runOnce(), await runOnce('--json')];
  expect(forPrograms.code).toBe(forPeople.code);
  const isJson = forPrograms.text.startsWith('{');
  return { code: forPeople.code, text: forPeople.text, answer: JSON.parse(isJson ? forPrograms.text : '{}') as Answer };
}

const image = async (file = snpGuest()): Promise<string> => put('guest.igvm', await written(file));

describe('a launch digest', () => {
  it.each<LaunchRequest>([
    { vmm: 'hyperv' },
    { vmm: 'vanadium' },
    { vmm: 'cloud-hypervisor-kvm', vcpus: [300] },
    { vmm: 'qemu-kvm', vcpus: [96], cpu: ['EPYC-Turin'] },
    // Processors that QEMU has no model for, as with -cpu host.
    { vmm: 'qemu-kvm', vcpus: [8], cpu: ['0xa00f12'] },
    { vmm: 'qemu-kvm', vcpus: [33], cpu: ['0xb10f10'] },
  ])('is found for the launch $vmm $vcpus $cpu', async (request) => {
    const { code, answer } = await explain((await digestOf(request)).toLowerCase(), await image());
    const { vmm, vcpus: [vcpus] = [], cpu: [cpu] = [] } = request;
    expect({ code, found: answer.found }).toEqual({
      code: 0,
      found: expect.arrayContaining([{ platform: 'snp', vmm, vcpus, cpu, refusals: [] }]),
    });
  });

  it('for one vCPU is the same for every model, and for any number of vCPUs if only the first is measured', async () => {
    const { text } = await explain(
      await digestOf({ vmm: 'qemu-kvm', vcpus: [4], cpu: ['EPYC-Rome'], kvmMode: 'bsp-only' }),
      await image(),
    );
    expect(text).toMatch(/launched by QEMU with KVM, 1 vCPU, any model of processor; also with more vCPUs .*bsp-only/);
  });

  it('from another image is not explained, and the output lists what was tried', async () => {
    const { code, text, answer } = await explain(await digestOf({ vmm: 'hyperv' }, snpGuest(0x20)), await image());
    expect([code, answer.found]).toEqual([1, []]);
    expect(text).toContain('no known origin of this digest was found');
    for (const part of [
      'Hyper-V',
      'QEMU with KVM (1 to 512 vCPUs; the processors EPYC, ',
      'only the first',
      'Vanadium',
      '0x1a',
      'has no TDX guest',
      '--lock FILE',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('of a launch that the VMM would refuse comes from another file with the same pages', async () => {
    const asBuilt = snpGuest();
    const withCorim: IgvmFile = {
      ...asBuilt,
      initializations: [
        ...asBuilt.initializations,
        { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(new Uint8Array(8)) },
      ],
    };
    const digest = await digestOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] });
    const { code, text } = await explain(digest, put('guest.igvm', await written(withCorim)));
    expect([code, text]).toEqual([
      0,
      expect.stringMatching(/2 vCPUs, EPYC-Milan.*\n {2}but that VMM does not launch this file: .*CoRIM/),
    ]);
  });

  it('for TDX and VBS doesn’t depend on the VMM', async () => {
    const file = fileOf([run(0x10)]);
    const path = put('all.igvm', await written(file));
    const { measurements } = await measureLaunches(file, { platforms: ['tdx', 'vbs'] });
    for (const { platform, digest } of measurements) {
      const { code, answer } = await explain(digestHex(digest), path);
      expect([code, answer.found]).toEqual([0, [{ platform, refusals: [] }]]);
    }
    expect(measurements).toHaveLength(2);
  });
});

it('is read from a report, and the policy, which the digest does not cover, is compared', async () => {
  const measurement = Buffer.from(await digestOf({ vmm: 'qemu-kvm', vcpus: [200], cpu: ['0xa00f12'] }), 'hex');
  const report = (policy: bigint) =>
    put('report.bin', signedReport({ measurement, policy, version: 3, cpu: [0x19, 1] }, amdChain().leaf.key));
  const { answer, text } = await explain(report(0x30000n), await image());
  expect(answer.found).toEqual([]);
  expect(text).toContain('0xa00f10 of the report with up to 512');
  expect(answer.policies).toEqual([expect.objectContaining({ report: '0x30000', agree: true })]);
  expect((await explain(report(0xb0000n), await image())).text).toMatch(
    /0x30000 in the image \(smt\), 0xb0000 in the report: they differ/,
  );
});

it.each(['ab', 'f'.repeat(95), 'missing.bin'])(
  'is not accepted as %s, which is neither a digest nor a report',
  async (subject) => {
    const { code, text } = await explain(subject, await image());
    expect([code > 0, text]).toEqual([true, expect.stringMatching(/^error: (?!internal)/)]);
  },
);

describe('the history of a lock', () => {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args], {
      cwd: inFolder('.'),
      encoding: 'utf8',
    });
  const commit = (subject: string): void => {
    git('add', '-A');
    git('commit', '-q', '-m', subject);
  };
  const lock = async (page: number, name = 'igvm.lock.json'): Promise<string> =>
    put(
      name,
      lockText(
        (
          await lockImage(snpGuest(page), {
            launches: launchesOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] }),
          })
        ).lock,
      ),
    );

  needing('git').it('shows when a digest was added and removed, with the name of the lock at that time', async () => {
    git('init', '-q');
    await lock(0x20, 'old.lock.json');
    commit('First image');
    git('mv', 'old.lock.json', 'igvm.lock.json');
    commit('Another name');
    await lock(0x10);
    commit('Second \u001b[2Jimage');
    const before = await digestOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] }, snpGuest(0x20));
    const { code, answer, text } = await explain(before, await image(), '--lock', 'igvm.lock.json');
    expect(code).toBe(0);
    expect(answer.history.map(({ change, subject }) => [change, subject])).toEqual([
      ['removed', 'Second \u001b[2Jimage'],
      ['added', 'First image'],
    ]);
    expect(answer.history[1]).toMatchObject({ launches: [{ vmm: 'qemu-kvm', vcpus: 2, cpu: 'EPYC-Milan' }] });
    expect(text).toMatch(
      /added to the lock old\.lock\.json by commit [0-9a-f]{12} of 20.*"First image", snp, for QEMU with KVM, 2 vCPUs, EPYC-Milan/,
    );
    expect(text).toContain('"Second \\u{1b}[2Jimage"');
    const now = await explain(
      await digestOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] }),
      await image(),
      '--lock',
      'igvm.lock.json',
    );
    expect(now.answer.history.map(({ change }) => change)).toEqual(['present', 'added']);
  });

  it('needs git, whose failure is reported', async () => {
    await lock(0x10);
    const { code, text } = await explain('0'.repeat(96), await image(), '--lock', 'igvm.lock.json');
    expect([code, text]).toEqual([1, expect.stringContaining('GIT_FAILED')]);
  });
});
