import type { TargetConfiguration, Tree } from 'nx/src/devkit-exports';
import { getProjects, updateProjectConfiguration } from 'nx/src/devkit-exports';
import { formatFiles } from '../generators/workspace/generate';

/** Whether a target boots an image, waits for its output, and leaves open whether it is continuous. */
const isUndecidedTest = ({ executor, options, continuous }: TargetConfiguration): boolean =>
  executor === 'nx-igvm:boot' &&
  continuous === undefined &&
  (options as { until?: unknown } | undefined)?.until !== undefined;

/**
 * Makes each target that boots an image and waits for its output a task of its own. A target in project.json extends the inferred one
 * of the same name, and the inferred `boot` is continuous. Nx shares one run of it among all commands that need it, and counts it as a
 * success for each, whatever the guest has printed.
 */
export default async function separateBootTests(tree: Tree): Promise<void> {
  let isChanged = false;
  for (const [name, project] of getProjects(tree)) {
    const tests = Object.entries(project.targets ?? {}).filter(([, target]) => isUndecidedTest(target));
    if (tests.length === 0) continue;
    const changed = tests.map(([target, configuration]) => [
      target,
      { ...configuration, continuous: false, cache: false },
    ]);
    updateProjectConfiguration(tree, name, {
      ...project,
      targets: { ...project.targets, ...(Object.fromEntries(changed) as Record<string, TargetConfiguration>) },
    });
    isChanged = true;
  }
  if (isChanged) await formatFiles(tree);
}
