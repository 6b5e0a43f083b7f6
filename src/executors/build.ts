import { dirname, join } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import type { BuildOptions } from '../cli/commands/build';
import { IgvmError } from '../errors/igvm-error';
import type { LoadedManifest } from '../manifest/load-manifest';
import { nearest } from '../manifest/unknown-keys';
import { imageNameInWorkspace, usedResources } from '../manifest/image-files';
import { checkOutputReference, type OutputContext } from '../plugin/output-references';
import { parseResource } from '../resources/resource-reference';
import { asTask, type TargetOptions, type TaskLog, type TaskResult } from './as-task';
import {
  checkTarget,
  checkTrackedOptions,
  type TargetContext,
  targetOf,
  type TaskContext,
  type TaskTarget,
} from './check-target';

/** Options of `nx-igvm:build`, which schemas/build.json describes. Paths are relative to the workspace. */
export interface BuildTaskOptions extends BuildOptions, TargetOptions {
  outputPath?: string;
}

/** The part of an executor's context that builds need. It can be sent to a thread. */
export type BuildContext = TargetContext & TaskContext & Pick<ExecutorContext, 'projectGraph'>;

/** `nx-igvm:build` builds an image. */
export default function buildExecutor(options: BuildTaskOptions, context: ExecutorContext): Promise<TaskResult> {
  return runBuild(options, context, targetOf(context));
}

/**
 * Builds an image as a task of Nx.
 * @param options not yet checked: when Nx itself finds a mistake in the options of one task, it gives up the whole batch
 * @param log takes the texts of a task in a batch; default: Nx's own
 */
export function runBuild(
  options: BuildTaskOptions,
  context: BuildContext,
  task: TaskTarget | undefined,
  log?: TaskLog,
): Promise<TaskResult> {
  // Not the whole library (api.ts): every task of every build starts here.
  const { build } = require('../cli/commands/build') as typeof import('../cli/commands/build');
  return asTask(
    context,
    async (caller) => {
      checkOptions('nx-igvm:build', options, require('./schemas/build.json') as OptionsSchema, ['manifest']);
      const { outputPath, ownKeys, ...given } = options;
      const { manifest, resources, loader } = given;
      checkTrackedOptions(context, task, { manifest, resources, loader }, ['manifest', 'resources', 'loader']);
      checkTarget(context, task, { manifest, resources, loader, outputPath, ownKeys });
      const place = caller.display(manifest);
      await build(given, caller, {
        check: resources === undefined ? (loaded) => unusableOutputs(context, loaded) : undefined,
        output: caller.at(join(outputPath ?? join('dist', dirname(place)), `${imageNameInWorkspace(place)}.igvm`)),
        workspaceRoot: context.root,
        verbose: process.env['NX_VERBOSE_LOGGING'] === 'true',
        showsProgress: false,
      });
    },
    { log },
  );
}

/**
 * The mistakes in a manifest that uses the output of another target in a way that Nx can't track. Nx itself only warns about a
 * target that doesn't exist, and doesn't see a change of a file that is not a declared output.
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

/** The part of an executor's schema that options are checked against. */
interface OptionsSchema {
  properties: Readonly<Record<string, { type: string }>>;
}

/**
 * Checks a task's options as Nx would, but fails only this task. (Nx checks the options of all tasks of a batch before it begins, and
 * a mistake in one fails all of them. So the schemas of executors with a batch accept everything.)
 * @param required names of the required options
 * @throws IgvmError NX_OPTION_INVALID
 */
function checkOptions(
  executor: string,
  options: object,
  { properties }: OptionsSchema,
  required: readonly string[],
): void {
  const values = options as Readonly<Record<string, unknown>>;
  const missing = required.find((name) => values[name] === undefined);
  if (missing !== undefined) throw invalid(`${executor} needs the option "${missing}"`);
  for (const [name, value] of Object.entries(values)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known === undefined) {
      const guess = nearest(name, Object.keys(properties));
      throw invalid(`${executor} has no option "${name}"${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
    }
    const type = Array.isArray(value) ? 'array' : typeof value;
    if (value !== undefined && type !== known.type) {
      throw invalid(
        `${executor} takes ${known.type === 'array' ? 'an' : 'a'} ${known.type} for the option "${name}", not ${JSON.stringify(value)}`,
      );
    }
  }
}

const invalid = (message: string): IgvmError => new IgvmError('NX_OPTION_INVALID', message);
