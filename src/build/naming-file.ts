import { IgvmError } from '../errors/igvm-error';
import type { ResourceName } from '../manifest/model';
import type { OpenResources } from './open-resources';

/** Which resource a message is about, by the tag of the imported range that it begins with. */
const RESOURCE_OF_TAG: Readonly<Record<string, ResourceName>> = {
  'linux-kernel': 'linux_kernel',
  'underhill-kernel': 'underhill_kernel',
  'underhill-boot-shim': 'openhcl_boot',
  'sidecar-kernel': 'underhill_sidecar',
};

/**
 * Runs a loader; when it finds fault with a file, the error names that file.
 * @param exceptions tags that mean another resource for this loader, or can't tell
 */
export function namingFile<T>(
  resources: OpenResources,
  load: () => T,
  exceptions: Readonly<Record<string, ResourceName | undefined>> = {},
): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    if (error.code === 'FIRMWARE_INVALID') throw error.at({ file: resources.displayOf('uefi') });
    if (error.code !== 'KERNEL_INVALID') throw error;
    const tag = /^[a-z0-9-]+/.exec(error.message)?.[0] ?? '';
    const resource = tag in exceptions ? exceptions[tag] : RESOURCE_OF_TAG[tag];
    throw resource === undefined ? error : error.at({ file: resources.displayOf(resource) });
  }
}
