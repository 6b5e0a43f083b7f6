import { IgvmError } from '../errors/igvm-error';
import type { ResourceName } from '../manifest/model';
import type { OpenResources } from './open-resources';

/** Which resource a message is about, by the name that it begins with. */
const RESOURCE_OF_NAME: Readonly<Record<string, ResourceName>> = {
  'linux-kernel': 'linux_kernel',
  'underhill-kernel': 'underhill_kernel',
  'underhill-boot-shim': 'openhcl_boot',
  'sidecar-kernel': 'underhill_sidecar',
  'snp-bootshim': 'snp_bootshim',
};

/** Runs a loader; when it finds fault with a file, the error names that file. */
export function namingFile<T>(resources: OpenResources, load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    if (error.code === 'FIRMWARE_INVALID') throw error.at({ file: resources.displayOf('uefi') });
    if (error.code !== 'KERNEL_INVALID') throw error;
    const resource = RESOURCE_OF_NAME[/^[a-z0-9-]+/.exec(error.message)?.[0] ?? ''];
    if (resource === undefined) throw error;
    const where = { file: resources.displayOf(resource), jsonPath: `resources.${resource}` };
    throw error.within(resources.sectionStart(resource) ?? 0).at(where);
  }
}
