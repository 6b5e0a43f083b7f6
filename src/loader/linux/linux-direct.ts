import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { ISOLATIONS } from '../../manifest/isolation';
import type { DirectLinuxImage } from '../../manifest/model';
import type { IsolationConfig } from '../guest/importer';

/** A Linux kernel that the VMM starts itself: no firmware, no paravisor. */
export interface DirectLinux {
  kernel: ByteSource;
  initrd?: ByteSource;
  /** The manifest's `linux` image. */
  image: DirectLinuxImage;
}

/**
 * @throws IgvmError ISOLATION_UNSUPPORTED: what confidential guests need at boot, a `linux` image doesn't have
 */
export function checkDirectLinuxIsolation(isolation: IsolationConfig['type']): void {
  if (ISOLATIONS[isolation].byProcessor) {
    const other = isolation === 'snp' ? 'snp_linux_direct or openhcl' : 'openhcl (or snp_linux_direct under snp)';
    throw new IgvmError(
      'ISOLATION_UNSUPPORTED',
      `a linux image cannot start under ${isolation}: use ${other} to run Linux there`,
      { jsonPath: 'isolation_type' },
    );
  }
}
