import { IgvmError } from '../../../errors/igvm-error';
import type { GuestArch } from '../../../igvm/model';
import { existsOn, ISOLATION_NAMES, type IsolationName } from '../../../igvm/isolation';
import type { IsolationType, SnpIsolation } from '../../../manifest/model';

/** SEV-SNP guest policy bits: SMT allowed, and bit 17, which is reserved and always one (SNP firmware ABI, table 9). */
export const SNP_POLICY_SMT = 0x30000n;

/** The same with any ABI version from 0.31 on, which Hyper-V's paravisor guests ask for. */
export const SNP_POLICY_PARAVISOR = SNP_POLICY_SMT | 0x1fn;

/** The isolation of a manifest for each name. `snp` is what differs between the types of images. */
export function isolationType(
  name: IsolationName,
  debug: boolean,
  snp: Omit<SnpIsolation, 'enable_debug'>,
): IsolationType {
  switch (name) {
    case 'none':
      return 'none';
    case 'vbs':
      return { vbs: { enable_debug: debug } };
    case 'snp':
      return { snp: { ...snp, enable_debug: debug } };
    case 'tdx':
      return { tdx: { enable_debug: debug, sept_ve_disable: true } };
  }
}

/** What an image that can be isolated by anything can be, its default first. */
export const anyIsolation = (arch: GuestArch): IsolationName[] =>
  arch === 'x64' ? ISOLATION_NAMES.filter((name) => existsOn(name, arch)) : ['none'];

/**
 * The isolations to generate guests for.
 * @param allowed what the type of image can be, its default first
 * @throws IgvmError GENERATOR_OPTION
 */
export function chooseIsolation(
  type: string,
  chosen: IsolationName[] | undefined,
  allowed: readonly IsolationName[],
): IsolationName[] {
  const names = chosen === undefined || chosen.length === 0 ? allowed.slice(0, 1) : [...new Set(chosen)];
  const wrong = names.find((name) => !allowed.includes(name));
  if (wrong !== undefined) {
    throw new IgvmError(
      'GENERATOR_OPTION',
      `${type} can't have the isolation ${wrong}: it takes ${allowed.join(', ')}`,
    );
  }
  if (names.includes('none') && names.includes('vbs')) {
    throw new IgvmError('GENERATOR_OPTION', 'none and vbs are the same platform to a VMM, so they need an image each');
  }
  return names;
}
