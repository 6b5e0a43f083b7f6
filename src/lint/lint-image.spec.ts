import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NX_IGVM, run as runProgram } from '../cli/programs';
import { writeImage } from '../files/igvm-image';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { launchesOf } from '../measurement/launches';
import { measure } from '../measurement/measure';
import { fileOf, idBlock, MASK, platform, run } from '../measurement/measured-guest.fixture';
import { bytesSource } from '../memory/byte-source';
import { Vmsa } from '../vp-context/vmsa';
import { lintImage } from './lint-image';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-lint-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const image = join(folder, 'image.igvm');

/** A context that every VMM accepts. */
function context(vpIndex = 0): Directive {
  const vmsa = new Vmsa();
  for (const [name, value] of [
    ['sevFeatures', 1n],
    ['cr0', 0x10n],
    ['xcr0', 1n],
  ] as const)
    vmsa.set(name, value);
  const gpa = 0xfffffffff000;
  return { type: 'vpContext', format: 'snp', gpa, compatibilityMask: MASK.snp, vpIndex, data: vmsa.page };
}

/** A file for SEV-SNP alone, with a policy. */
const snp = (directives: Directive[], policy = 0x30000n, more: IgvmFile['initializations'] = []): IgvmFile => ({
  ...fileOf(directives),
  platforms: [platform(MASK.snp, PLATFORM_TYPE.SEV_SNP)],
  initializations: [{ type: 'guestPolicy', policy, compatibilityMask: MASK.snp }, ...more],
});
const page = (first: number): Directive => ({ ...run(first), compatibilityMask: MASK.snp }) as Directive;
const corim = { type: 'corimDocument', compatibilityMask: MASK.snp, content: bytesSource(new Uint8Array(8)) } as const;

async function findings(file: IgvmFile, vmm?: string): Promise<string[]> {
  await writeImage(file, image);
  const launches = vmm === undefined ? undefined : launchesOf({ vmm });
  return (await lintImage({ image, launches })).map(({ rule, message }) => `${rule}: ${message}`);
}

describe('lint', () => {
  it('finds nothing in an image that every VMM loads, with as many vCPUs as it has contexts', async () => {
    expect(await findings(snp([context(), context(1), page(0x10)]))).toEqual([]);
  });

  it('names each VMM that refuses the image, and only requested ones', async () => {
    const file = snp([context(), page(0x10)], 0x30000n, [corim]);
    expect(await findings(file)).toEqual([
      expect.stringMatching(/^refused: QEMU refuses this file: .*CoRIM document.*"embed_corim": false/),
      expect.stringMatching(/^refused: Cloud Hypervisor refuses this file: .*CoRIM document/),
    ]);
    expect(await findings(file, 'hyperv')).toEqual([]);
    expect(await findings(file, 'openvmm-kvm')).toEqual([expect.stringMatching(/^refused: no digest for openvmm-kvm/)]);
    expect(await findings(snp([context(), context(1)]), 'qemu-kvm')).toEqual([
      expect.stringContaining('the VP context of vCPU 1: there is no such vCPU'),
    ]);
  });

  it('names bits of the policy that an image for production should not have', async () => {
    expect(await findings(snp([context()], 0xf0000n), 'hyperv')).toEqual([
      expect.stringMatching(/^policy: the policy: it allows a migration agent/),
      expect.stringMatching(/^policy: the policy: it allows the host to debug/),
    ]);
  });

  it('names memory that is filled twice', async () => {
    expect(await findings(snp([context(), page(0x10), page(0x10)]), 'hyperv')).toEqual([
      expect.stringMatching(/^page-overlap: .*GPA 0x10000-0x11000/),
    ]);
  });

  describe('for ID blocks', () => {
    const plain = snp([context(), page(0x10)]);
    const digestOn = async (vmm: string, vcpus?: number[], cpu?: string[]) =>
      (await measure(plain, { launches: launchesOf({ vmm, vcpus, cpu }) }))[0]!.digest;
    const withBlocks = (...digests: Uint8Array[]) => snp([context(), page(0x10), ...digests.map(idBlock)]);

    it('finds nothing if a VMM on KVM reports the digest, for any number of vCPUs and any processor', async () => {
      expect(await findings(withBlocks(await digestOn('qemu-kvm', [3], ['EPYC-Genoa'])), 'hyperv')).toEqual([]);
      expect(await findings(withBlocks(await digestOn('cloud-hypervisor-kvm', [2])), 'hyperv')).toEqual([]);
    });

    it('names several ID blocks, because a launch takes only one', async () => {
      const digest = await digestOn('qemu-kvm', [1], ['EPYC-Genoa']);
      expect(await findings(withBlocks(digest, digest), 'hyperv')).toEqual([expect.stringMatching(/^id-blocks: .*2/)]);
    });

    it('names an ID block with the digest of Hyper-V, or of no VMM', async () => {
      // The VMSA comes first in the file, so Hyper-V's digest differs from that of KVM.
      expect(await findings(withBlocks(await digestOn('hyperv')), 'hyperv')).toEqual([
        expect.stringContaining('expects the digest that Hyper-V reports'),
      ]);
      expect(await findings(withBlocks(new Uint8Array(48)), 'hyperv')).toEqual([
        expect.stringContaining('neither Hyper-V nor a VMM on KVM reports'),
      ]);
    });
  });

  it('is a command that fails when something is found', async () => {
    let stdout = '';
    const environment = {
      cwd: folder,
      stdout: (text: string) => void (stdout += text),
      stderr: () => {},
      isInteractive: false,
    };
    const lint = async (file: IgvmFile, ...flags: string[]) => {
      await writeImage(file, image);
      stdout = '';
      return { code: await runProgram(NX_IGVM, ['lint', 'image.igvm', ...flags], environment), stdout };
    };
    expect(await lint(snp([context()]))).toEqual({ code: 0, stdout: 'image.igvm: nothing found\n' });
    const { code, stdout: json } = await lint(snp([context()], 0xb0000n), '--json');
    expect({ code, findings: JSON.parse(json) as unknown }).toEqual({
      code: 1,
      findings: { findings: [{ rule: 'policy', platform: 'SEV-SNP', message: expect.stringContaining('debug') }] },
    });
    const refused = await lint(snp([context()], 0x30000n, [corim]), '--vmm', 'qemu-kvm', '--vcpus', '1');
    expect(refused.stdout).toMatch(/^SEV-SNP: QEMU refuses this file: it does not know the header CoRIM document/);
  });
});
