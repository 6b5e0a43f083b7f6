import { spawnSync } from 'node:child_process';
import { skippedFor } from '../boot/needing.fixture';
import { CPU_MODEL_NAMES, kvmVmsa, parseCpu, QEMU_VCPUS } from './kvm-vmsa';

/**
 * The VMSA of a vCPU after a reset for each QEMU model that sev-snp-measure knows. That third-party program (PyPI) computes
 * the digests of firmware that is passed with -bios.
 */
const PROGRAM = `
import json
from sevsnpmeasure import vcpu_types
from sevsnpmeasure.vmsa import VMSA
from sevsnpmeasure.sev_mode import SevMode
def page(signature, features):
    return next(VMSA(SevMode.SEV_SNP, 0, signature, features).pages(1)).hex()
print(json.dumps([
    {'name': name, 'signature': signature, 'features': features, 'page': page(signature, features)}
    for name, signature in vcpu_types.CPU_SIGS.items() for features in (1, 0x21)
]))
`;

interface Theirs {
  name: string;
  signature: number;
  features: number;
  page: string;
}

const { status, stdout } = spawnSync('python3', ['-c', PROGRAM], { encoding: 'utf8' });
const theirs = status === 0 ? (JSON.parse(stdout) as Theirs[]) : [];

skippedFor(status === 0 ? undefined : 'sev-snp-measure for python3').describe('a vCPU without a context', () => {
  it('has the VMSA that sev-snp-measure computes, for each of its models', () => {
    const models = theirs.map(({ name }) => name).filter((name) => name.startsWith('EPYC'));
    expect(new Set(models.map((name) => name.replace(/-v\d+$|-IBPB$/, '')))).toEqual(new Set(CPU_MODEL_NAMES));
    for (const { name, signature, features, page } of theirs) {
      const cpu = parseCpu(name.startsWith('EPYC') ? name : `0x${signature.toString(16)}`);
      const ours = kvmVmsa({ state: QEMU_VCPUS, context: undefined, features: BigInt(features), cpu });
      expect({ name, signature: cpu.signature, page: Buffer.from(ours.page).toString('hex') }).toEqual({
        name,
        signature,
        page,
      });
    }
  });
});
