import { resolve } from 'node:path';
import { IgvmError } from '../../errors/igvm-error';
import { type LoadOptions, loadManifest } from '../../manifest/load-manifest';
import { parseResource } from '../../resources/resource-reference';
import { usedResources } from '../../manifest/used-resources';
import { combined } from '../../manifest/validate';
import { checkOutputReference, type OutputContext } from '../../plugin/output-reference';

/**
 * Refuses a manifest that uses the output of another target in a way that Nx can't follow: Nx itself only warns of a
 * target that doesn't exist, and doesn't see a change of a file that is no declared output.
 * @param manifest relative to the workspace or absolute
 * @throws IgvmError NX_TARGET_UNKNOWN or NX_OUTPUT_UNDECLARED at the place that names the resource, and what
 * `loadManifest` throws
 */
export function checkProjectResources(context: OutputContext, manifest: string, options: LoadOptions = {}): void {
  // Other mistakes of the manifest are the build's to report, unless there is one here.
  const conflicts: IgvmError[] = [];
  const path = resolve(context.root, manifest);
  const loaded = loadManifest(path, { ...options, within: context.root, conflicts });
  const errors: IgvmError[] = [];
  for (const name of usedResources(loaded.manifest).keys()) {
    const reference = parseResource(loaded.manifest.resources?.[name]);
    if (reference?.kind !== 'output') continue;
    try {
      checkOutputReference(context, reference, loaded.positionOf(['resources', name]));
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw combined([...conflicts, ...errors]);
}
