import { dirname, join } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import type { ReferenceValuesOptions, ReferenceValuesSetting, VerifyReportOptions } from '../cli/commands/attestation';
import type { FetchOptions } from '../cli/commands/fetch';
import type { InitrdOptions } from '../cli/commands/initrd';
import type { InspectOptions } from '../cli/commands/inspect';
import type { MeasureOptions, VerifyOptions } from '../cli/commands/measure';
import type { SignOptions } from '../cli/commands/sign';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { checkOutputReference } from '../plugin/output-references';
import { logger } from '../plugin/workspace-nx';
import { asTask, type TargetOptions, type TaskResult } from './as-task';
import { checkTarget, checkTrackedOptions, type TargetContext, targetOf, type TaskContext } from './check-target';

/**
 * The executors that do the work of a command. Each checks its target, and calls the function of the command with its options.
 * Paths in options are relative to the workspace; schemas/NAME.json describes them. executors.json names the functions.
 */

type Context = TargetContext & TaskContext;

/** `nx-igvm:initrd` packs an initramfs. */
export function initrd(
  { config, outputPath, ownKeys, ...options }: InitrdOptions & TargetOptions & { config: string; outputPath?: string },
  context: ExecutorContext,
): Promise<TaskResult> {
  const { packFolder } = require('../cli/commands/initrd') as typeof import('../cli/commands/initrd');
  return asTask(context, async (caller) => {
    checkTrackedOptions(context, targetOf(context), { config }, ['config']);
    checkTarget(context, targetOf(context), { config, outputPath, ownKeys });
    await packFolder(options, caller, {
      source: config,
      output: (name) => join(outputPath ?? initrdFolder(context, config), name),
      workspaceRoot: context.root,
      checkOutput: (reference, where) => checkOutputReference(context, reference, where),
    });
  });
}

/** The project's folder below `dist/`; for a file outside of any project, the file's own folder. */
function initrdFolder({ projectName, projectsConfigurations }: ExecutorContext, config: string): string {
  const project = projectName === undefined ? undefined : projectsConfigurations.projects[projectName];
  return join('dist', project?.root ?? dirname(config));
}

/** `nx-igvm:fetch` downloads everything that a manifest names by URL. */
export function fetch(options: FetchOptions, context: Pick<ExecutorContext, 'root'>): Promise<TaskResult> {
  const { fetchManifest } = require('../cli/commands/fetch') as typeof import('../cli/commands/fetch');
  return asTask(context, (caller) => fetchManifest(options, caller));
}

/** `nx-igvm:inspect` shows the contents of an image. */
export function inspect(
  options: InspectOptions & TargetOptions & { outputPath?: string },
  context: Context,
): Promise<TaskResult> {
  const { inspect: inspectImage } = require('../cli/commands/inspect') as typeof import('../cli/commands/inspect');
  const { outputPath, format = 'html', lock } = options;
  return asTask(
    context,
    async (caller) => {
      checkTrackedOptions(context, targetOf(context), options, ['image', 'lock']);
      checkTarget(context, targetOf(context), options);
      // The inferred target names a lock that may not have been written yet.
      const file = await inspectImage(options, caller, outputPath, true);
      if (file !== undefined) {
        caller.info(`${printable(file)}: ${format === 'html' ? 'open it in a browser' : format}`);
      }
    },
    { lock },
  );
}

/** `nx-igvm:measure` prints the launch digests of an image, and writes its lock when asked to. */
export function measure(
  options: MeasureOptions & TargetOptions & { lock?: string; updateLock?: boolean },
  context: Context,
): Promise<TaskResult> {
  const { printDigests, writeLock } = require('../cli/commands/measure') as typeof import('../cli/commands/measure');
  const { lock, updateLock = false } = options;
  return asTask(
    context,
    async (caller) => {
      checkTarget(context, targetOf(context), options);
      await printDigests(options, caller, lock);
      if (!updateLock) return;
      if (lock === undefined) throw new IgvmError('LOCK_MISSING', 'the option "lock" has to name the file to write');
      await writeLock(options, lock, caller);
    },
    { lock },
  );
}

/** `nx-igvm:verify` compares an image with its lock. */
export function verify(options: VerifyOptions & TargetOptions, context: Context): Promise<TaskResult> {
  const { verifyWithLock } = require('../cli/commands/measure') as typeof import('../cli/commands/measure');
  return asTask(
    context,
    async (caller) => {
      checkTrackedOptions(context, targetOf(context), options, ['image', 'lock']);
      checkTarget(context, targetOf(context), options);
      const { text, failure } = await verifyWithLock(options, caller);
      logger[failure === undefined ? 'info' : 'error'](text);
      if (failure !== undefined) throw failure;
    },
    { lock: options.lock },
  );
}

/** `nx-igvm:verify-report` verifies the evidence of a running guest. */
export function verifyReport(
  options: VerifyReportOptions,
  context: Pick<ExecutorContext, 'root'>,
): Promise<TaskResult> {
  const { verifyEvidence } = require('../cli/commands/attestation') as typeof import('../cli/commands/attestation');
  return asTask(context, async (caller) => {
    const { text, verdict } = await verifyEvidence(options, caller);
    const holds = verdict === 'ours' || verdict === 'genuine';
    if (options.json === true) caller.write(text);
    else logger[holds ? 'info' : 'error'](text.trimEnd());
    return holds;
  });
}

/** `nx-igvm:reference-values` writes reference values of an image. */
export function referenceValues(
  options: ReferenceValuesOptions &
    Pick<ReferenceValuesSetting, 'formats' | 'signCommand'> &
    TargetOptions & { outputPath: string },
  context: Context,
): Promise<TaskResult> {
  const { writeValues } = require('../cli/commands/attestation') as typeof import('../cli/commands/attestation');
  const { outputPath: output, formats, signCommand } = options;
  return asTask(context, async (caller) => {
    checkTarget(context, targetOf(context), options);
    const files = await writeValues(options, caller, { output, formats, signCommand, workspaceRoot: context.root });
    caller.info(files.join('\n'));
  });
}

/** `nx-igvm:sign` writes a signed copy of an image. */
export function sign(options: SignOptions & TargetOptions, context: Context): Promise<TaskResult> {
  const { sign: signImage } = require('../cli/commands/sign') as typeof import('../cli/commands/sign');
  return asTask(context, async (caller) => {
    const task = targetOf(context);
    checkTarget(context, task, options);
    await signImage(options, caller, task === undefined ? 'nx sign PROJECT' : `nx run ${task.project}:${task.target}`);
  });
}

/**
 * `nx-igvm:group` stands for the targets of all images of a project, on which it depends: when it runs, they have run. `nx:noop` would
 * also report a success when a user's `dependsOn` has replaced the inferred one and nothing has run.
 */
export function group(options: TargetOptions & { targets: string[] }, context: Context): Promise<TaskResult> {
  return asTask(context, async () => checkTarget(context, targetOf(context), options));
}
