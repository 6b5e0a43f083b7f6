import { dirname, join, resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { formatPlaced, IgvmError } from '../../errors/igvm-error';
import { messageSink } from '../../errors/printable';
import { programPath } from '../../files/find-program';
import { shownPath } from '../../files/file-failure';
import type { LoadedManifest } from '../../manifest/load-manifest';
import { usedResources } from '../../manifest/image-files';
import { checkOutputReference, type OutputContext } from '../../plugin/output-references';
import { parseResource } from '../../resources/resource-reference';
import {
  checkOptions,
  checkTarget,
  checkTrackedOptions,
  type OptionsSchema,
  type TargetContext,
  type TaskTarget,
} from '../check-target';
import type { BuildExecutorSchema } from './schema';

/** What Nx is told of one task of a batch. */
export interface TaskResult {
  success: boolean;
  /** Shown under the task's name, and replayed from the cache. */
  terminalOutput: string;
  /** Milliseconds since 1970. */
  startTime?: number;
  endTime?: number;
  /** `skipped` when the task was never begun. */
  status?: 'success' | 'failure' | 'skipped';
}

export const SKIPPED: TaskResult = { success: false, status: 'skipped', terminalOutput: '' };

/** What builds need of the executor's context; it can be sent to a thread. */
export type BatchContext = TargetContext & Pick<ExecutorContext, 'projectGraph'>;

/** One image of a batch; it can be sent to a thread. */
export interface BatchTask {
  options: BuildExecutorSchema;
  target: TaskTarget;
}

/** Builds one image of a batch. Never rejects: even a bug must not take the other images along. */
export async function buildTask({ options, target }: BatchTask, context: BatchContext): Promise<TaskResult> {
  const startTime = Date.now();
  const output: string[] = [];
  const line = (text: string): void => void output.push(text, '\n');
  const log = { info: line, warn: line, error: line, message: (text: string) => void output.push(text) };
  let success = false;
  try {
    success = await runBuild(options, context, target, log);
  } catch (bug) {
    line(bug instanceof Error ? (bug.stack ?? bug.message) : String(bug));
  }
  return { success, terminalOutput: output.join(''), startTime, endTime: Date.now() };
}

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
  { outputPath, manifest, resources, loader, ownKeys, downloads, downloadLimit, ...options }: BuildExecutorSchema,
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
  checkTarget(context, task, { manifest, resources, loader, outputPath, ownKeys });
  const { downloadDisplay } = require('../../cli/download-display') as typeof import('../../cli/download-display');
  const isInteractive = process.stderr.isTTY === true;
  const say = (line: string): void => log.info(line);
  const shown = downloadDisplay({ downloads, downloadLimit }, { cwd: root, isInteractive, say });
  const report = await buildManifest({
    ...options,
    manifest: resolve(root, manifest),
    check: resources === undefined ? (loaded) => unusableOutputs(context, loaded) : undefined,
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
    downloads: shown,
  }).finally(() => shown.stop());
  return reportText(report, display, { verbose: process.env['NX_VERBOSE_LOGGING'] === 'true' }).trimEnd();
}

/**
 * What is wrong with a manifest that uses the output of another target in a way that Nx can't follow: Nx itself only warns of a
 * target that doesn't exist, and doesn't see a change of a file that is no declared output.
 * @returns NX_TARGET_UNKNOWN and NX_OUTPUT_UNDECLARED, at the places that name the resources
 */
export function unusableOutputs(context: OutputContext, loaded: LoadedManifest): IgvmError[] {
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
  return errors;
}
