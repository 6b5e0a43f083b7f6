import { NX_VERSION } from '@nx/devkit';
import { IgvmError } from '../../errors/igvm-error';

/** The first Nx whose `includeIgnored` inputs exist; an older one would ignore them in silence and serve stale images. */
export const OLDEST_NX = 24;

/** @throws IgvmError NX_VERSION_UNSUPPORTED */
export function requireSupportedNx(version: string = NX_VERSION): void {
  if (Number.parseInt(version, 10) < OLDEST_NX) {
    throw new IgvmError(
      'NX_VERSION_UNSUPPORTED',
      `nx-igvm needs Nx ${OLDEST_NX} or newer, this workspace has ${version}`,
    );
  }
}
