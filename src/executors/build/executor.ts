import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { type ExecutorContext, logger } from '@nx/devkit';
import { formatPlaced, IgvmError } from '../../errors/igvm-error';
import type { BuildExecutorSchema } from './schema';

/** Builds an image. What the user can put right is logged and fails the task; anything else is a bug and throws. */
export default async function buildExecutor(
  { outputPath, manifest, resources, loader, ...options }: BuildExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const { buildManifest, imageNameInWorkspace, reportText } = require('../../api') as typeof import('../../api');
  const { checkProjectResources } = require('./check-project-resources') as typeof import('./check-project-resources');
  const { root } = context;
  const display = (path: string): string => inWorkspace(root, resolve(root, path));
  const manifestPath = display(manifest);
  try {
    if (resources === undefined) checkProjectResources(context, manifest, { ...options, display: manifestPath });
    const report = await buildManifest({
      ...options,
      manifest: resolve(root, manifest),
      resources: resources === undefined ? undefined : resolve(root, resources),
      output: resolve(
        root,
        outputPath ?? join('dist', dirname(manifestPath)),
        `${imageNameInWorkspace(manifestPath)}.igvm`,
      ),
      workspaceRoot: root,
      loader: loader === undefined ? undefined : resolve(root, loader),
      message: (text) => void process.stderr.write(text),
      display,
      warn: ({ message, where }) => logger.warn(formatPlaced(message, where)),
    });
    logger.info(reportText(report, display).trimEnd());
    return { success: true };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format());
    return { success: false };
  }
}

/** A path as messages and outputs name it: from the workspace on, with `/`; absolute only outside of it. */
function inWorkspace(root: string, path: string): string {
  const inside = relative(root, path);
  const steps = inside.split(sep);
  return steps[0] === '..' || isAbsolute(inside) ? path : steps.join('/');
}
