import type { ExecutorContext } from 'nx/src/devkit-exports';
import { dirname, join, resolve } from 'node:path';
import { formatPlaced, IgvmError } from '../../errors/igvm-error';
import { programPath } from '../../files/find-program';
import { messageSink } from '../../errors/printable';
import { shownPath } from '../../files/shown-path';
import { checkOptions, type OptionsSchema } from '../check-options';
import { checkTarget, type TargetContext } from '../check-target';
import { checkTrackedOptions, type TaskTarget } from '../tracked-options';
import type { BuildExecutorSchema } from './schema';

type BuildContext = TargetContext & Pick<ExecutorContext, 'projectGraph'>;

/** Takes what a build says. */
export interface BuildLog {
  /** Lines for people, each call without the last newline. */
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** What an external loader says, in whatever pieces it comes. */
  message(text: string): void;
}

/**
 * Builds an image as a task of Nx.
 * @param options not yet checked: what Nx itself finds wrong with the options of one task ends a batch of all tasks
 * @returns whether there is an image; what the user can put right is logged, anything else is a bug and throws
 */
export async function runBuild(
  options: BuildExecutorSchema,
  context: BuildContext,
  task: TaskTarget | undefined,
  log: BuildLog,
): Promise<boolean> {
  const { root } = context;
  const display = (path: string): string => shownPath(root, resolve(root, path));
  const messages = messageSink((text) => log.message(text), process.stderr.isTTY);
  const ownLog = { ...log, message: messages.add };
  try {
    checkOptions('nx-igvm:build', options, require('./schema.json') as OptionsSchema, ['manifest']);
    log.info(await buildReport(options, context, task, ownLog, display).finally(messages.end));
    return true;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    log.error(error.format(display));
    return false;
  }
}

async function buildReport(
  { outputPath, manifest, resources, loader, ownKeys, ...options }: BuildExecutorSchema,
  context: BuildContext,
  task: TaskTarget | undefined,
  log: BuildLog,
  display: (path: string) => string,
): Promise<string> {
  // Not the whole library (api.ts): every task of every build starts here.
  const { buildManifest } = require('../../builder/build-manifest') as typeof import('../../builder/build-manifest');
  const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
  const { imageNameInWorkspace } = require('../../manifest/image-files') as typeof import('../../manifest/image-files');
  const { root } = context;
  const manifestPath = display(manifest);
  checkTrackedOptions(context, task, { manifest, resources, loader }, ['manifest', 'resources', 'loader']);
  if (resources === undefined) {
    const { checkProjectResources } =
      require('./check-project-resources') as typeof import('./check-project-resources');
    checkProjectResources(context, manifest, { ...options, display: manifestPath });
  }
  checkTarget(context, task, { manifest, resources, loader, outputPath, ownKeys });
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
    loader: loader === undefined ? undefined : programPath(loader, root),
    message: (text) => log.message(text),
    display,
    warn: ({ message, where }) => log.warn(formatPlaced(message, where)),
  });
  return reportText(report, display, { verbose: process.env['NX_VERBOSE_LOGGING'] === 'true' }).trimEnd();
}
