import { posix, resolve } from 'node:path';
import type { ExecutorContext, NxJsonConfiguration, TargetConfiguration, TaskGraph } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import { asRecord, imageNameInWorkspace } from '../manifest/image-files';
import {
  BUILD_EXECUTOR,
  buildTarget,
  type ImageManifest,
  type InferredImage,
  type InferredProject,
  nameImages,
  outputFolder,
  readImageManifest,
} from '../plugin/inferred-image';
import { locatePlugin, nxFeatures, PACKAGE_NAME } from '../plugin/workspace-nx';
import { toSlashes } from '../plugin/tracked-inputs';
import {
  GROUP_EXECUTOR,
  IMAGE_TARGETS,
  INITRD_EXECUTOR,
  initrdTarget,
  readInitrdFile,
} from '../plugin/inferred-targets';
import {
  optionPath,
  ownTarget,
  ownTargetOf,
  readPluginOptions,
  readProjectFiles,
  TARGET_KINDS,
} from '../plugin/configuration';
import { cureFor, lacksOf, mergedValue, ownKeysOf } from '../plugin/effective-target';
import { globCovers } from '../resources/glob';

/** The part of an executor's context that the check needs. A thread gets no more. */
export type TargetContext = Pick<ExecutorContext, 'root'> &
  Partial<Pick<ExecutorContext, 'projectGraph' | 'nxJsonConfiguration' | 'taskGraph'>>;

type Project = ExecutorContext['projectGraph']['nodes'][string];

/** The project as inference sees it, apart from the current targets of links. */
function projectOf(context: TargetContext, node: Project): InferredProject {
  const { root: workspaceRoot, nxJsonConfiguration: nxJson = {} } = context;
  const { root } = node.data;
  const place = { workspaceRoot, features: nxFeatures(workspaceRoot), followsLinks: false };
  const files = readProjectFiles(posix.join(workspaceRoot, root), root === '.' ? '' : `${root}/`);
  return {
    ...place,
    nxJson,
    options: pluginOptions(nxJson),
    plugin: locatePlugin(place),
    files,
    name: node.name,
    root,
  };
}

function pluginOptions({ plugins = [] }: NxJsonConfiguration): InferredProject['options'] {
  const entry = plugins.find((plugin) => typeof plugin === 'object' && plugin.plugin === PACKAGE_NAME);
  return readPluginOptions(asRecord(entry)['options'], () => undefined);
}

/** The value, or undefined if reading fails. Inference or the executor itself reports the failure. */
function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The target that writes an image, with its manifest. */
function builderOf(image: string, node: Project, project: InferredProject): Pick<InferredImage, 'build' | 'manifest'> {
  const path = posix.normalize(toSlashes(image));
  for (const [build, { executor, options }] of Object.entries(node.data.targets ?? {})) {
    const { manifest, outputPath } = asRecord(options);
    if (executor !== BUILD_EXECUTOR || typeof manifest !== 'string') continue;
    const where = optionPath(manifest, project);
    const folder =
      typeof outputPath === 'string' ? optionPath(outputPath, project) : outputFolder(posix.dirname(where));
    if (posix.join(folder, `${imageNameInWorkspace(where)}.igvm`) !== path) continue;
    return { build, manifest: tryRead(() => readImageManifest(project.workspaceRoot, where)) ?? noManifest(where) };
  }
  return { build: undefined, manifest: noManifest('') };
}

const noManifest = (path: string): ImageManifest => ({ path, resources: {}, saysMore: false });

/** The target as it would be inferred with its actual options. Undefined if its file can't be read, which is reported elsewhere. */
function expectedTarget(
  target: TargetConfiguration,
  options: Record<string, unknown>,
  node: Project,
  project: InferredProject,
): TargetConfiguration | undefined {
  const { executor, configurations } = target;
  const own = ownTargetOf([{ from: '', stated: { options, configurations }, certain: true }]);
  if (executor === GROUP_EXECUTOR) return { executor, dependsOn: options['targets'] as string[] };
  if (executor === INITRD_EXECUTOR) {
    const config = optionPath(String(options['config']), project);
    const file = tryRead(() => readInitrdFile(project.workspaceRoot, config));
    return file && initrdTarget(project, file, own);
  }
  if (executor === BUILD_EXECUTOR) {
    const path = optionPath(String(options['manifest']), project);
    const manifest = tryRead(() => readImageManifest(project.workspaceRoot, path));
    const [names] = nameImages([path]);
    return manifest && names && buildTarget({ ...names, project, manifest, build: undefined, file: '' }, own);
  }
  const file = posix.normalize(optionPath(String(options['image']), project));
  const builder = builderOf(file, node, project);
  const name = posix.basename(file, '.igvm');
  const image = { path: builder.manifest.path, name, suffix: '', outputPath: '', project, file, ...builder };
  const kind = TARGET_KINDS.find((each) => each !== 'initrd' && IMAGE_TARGETS[each].executor === executor);
  const inferred = kind === undefined || kind === 'initrd' ? undefined : IMAGE_TARGETS[kind].create(image, own);
  // If none would be inferred, for example for an image that can't be signed, at least the build must run first.
  const least = { executor, cache: false, ...(builder.build === undefined ? {} : { dependsOn: [builder.build] }) };
  return inferred === undefined || executor === IMAGE_TARGETS.boot.executor ? least : inferred;
}

/** Whether a task waits for another one, directly or through others. */
function runsBefore(graph: TaskGraph | undefined, { project, target, configuration }: TaskTarget) {
  const suffix = configuration === undefined ? '' : `:${configuration}`;
  const start = `${project}:${target}${suffix}`;
  return (otherProject: string, otherTarget: string): boolean => {
    const seen = new Set<string>();
    const open: (string | { id: string })[] = [...(graph?.dependencies[start] ?? [])];
    for (let task = open.pop(); task !== undefined; task = open.pop()) {
      // Nx 21 and 22 name the tasks, later ones have objects with more.
      const name = typeof task === 'string' ? task : task.id;
      if (seen.has(name)) continue;
      seen.add(name);
      if (name === `${otherProject}:${otherTarget}` || name.startsWith(`${otherProject}:${otherTarget}:`)) return true;
      open.push(...(graph?.dependencies[name] ?? []));
    }
    return false;
  };
}

/** Whether no other target writes to this one's folder. */
const isAlone = (node: Project): boolean =>
  Object.values(node.data.targets ?? {}).filter(
    ({ executor }) => executor === BUILD_EXECUTOR || executor === INITRD_EXECUTOR,
  ).length < 2;

/**
 * Refuses a target if the user's lists could make its image outdated. A failure is never cached. Inference handles most of these lists,
 * but only here is the result of Nx's merging known.
 * @param options the executor's options
 * @throws IgvmError NX_KEY_REPLACED
 */
export function checkTarget(context: TargetContext, task: TaskTarget | undefined, options: object): void {
  const node = task === undefined ? undefined : context.projectGraph?.nodes[task.project];
  const effective = task === undefined ? undefined : node?.data.targets?.[task.target];
  if (task === undefined || node === undefined || effective?.executor?.startsWith(`${PACKAGE_NAME}:`) !== true) return;
  const project = projectOf(context, node);
  const given = { ...asRecord(effective.options), ...(options as Record<string, unknown>) };
  const expected = expectedTarget(effective, given, node, project);
  if (expected === undefined) return;
  const { namedInputs } = node.data;
  const standard = { default: ['{projectRoot}/**/*'], ...project.nxJson.namedInputs, ...namedInputs };
  const own = ownKeysOf(given);
  const waitsFor = runsBefore(context.taskGraph, task);
  // Nx drops a dependency on a target that doesn't exist. That is a mistake in the file that names it, and is reported with its place.
  const isThere = (other: string, target: string): boolean =>
    context.projectGraph?.nodes[other]?.data.targets?.[target] !== undefined;
  const [lack] = lacksOf({
    expected: { ...expected, options: given },
    effective: { ...effective, options: given },
    project,
    namedInput: (name) => (Object.hasOwn(standard, name) ? standard[name as 'default'] : undefined),
    ownFolder: isAlone(node),
    runsBefore: (other, target) => (other !== node.name && !isThere(other, target)) || waitsFor(other, target),
  }).filter(({ key }) => !own.includes(key));
  if (lack === undefined) return;
  const executor = effective.executor ?? '';
  const kind = TARGET_KINDS.find((each) => kindExecutor(each) === executor);
  const { from } = mergedValue(ownTarget(kind, executor, task.target, project).statements, lack.key);
  const place =
    from === undefined
      ? `"${lack.key}" differs from the inferred value`
      : `"${lack.key}" in ${from} replaces the inferred value`;
  const cure = cureFor(from, executor, project.features.spread);
  throw new IgvmError('NX_KEY_REPLACED', `${task.project}:${task.target}: ${place}, so ${lack.effect}; ${cure}`);
}

/**
 * Refuses an image that is made of another image of its batch, if Nx hashes it before that one is built.
 * @param blockers tasks of the batch that run first, with their outputs
 * @throws IgvmError NX_BATCH_HASHES
 */
export function checkBatch(
  context: TargetContext,
  task: TaskTarget,
  blockers: readonly { readonly id: string; readonly outputs: readonly string[] }[],
): void {
  if (blockers.length === 0 || nxFeatures(context.root).batchHashes) return;
  const { inputs = [] } = context.projectGraph?.nodes[task.project]?.data.targets?.[task.target] ?? {};
  const patterns = inputs.flatMap((input) => {
    const { dependentTasksOutputFiles: pattern } = asRecord(input);
    return typeof pattern === 'string' ? [pattern] : [];
  });
  const reads = (output: string): boolean =>
    patterns.some((pattern) => pattern.startsWith(`${output}/`) || globCovers(pattern, output));
  const blocker = blockers.find(({ outputs }) => outputs.some(reads));
  if (blocker === undefined) return;
  const name = `${task.project}:${task.target}`;
  throw new IgvmError('NX_BATCH_HASHES', `${name} reads what ${blocker.id} writes, and runs in one batch with it`);
}

const kindExecutor = (kind: (typeof TARGET_KINDS)[number]): string =>
  kind === 'initrd' ? INITRD_EXECUTOR : IMAGE_TARGETS[kind].executor;

/** The names of a task. */
export interface TaskTarget {
  project: string;
  target: string;
  configuration?: string;
}

/** The part of an executor's context that names its task. */
export type TaskContext = Partial<Pick<ExecutorContext, 'projectName' | 'targetName' | 'configurationName'>>;

/** The task of an executor; undefined if Nx doesn't name it. */
export function targetOf(context: TaskContext): TaskTarget | undefined {
  const { projectName: project, targetName: target, configurationName: configuration } = context;
  return project === undefined || target === undefined ? undefined : { project, target, configuration };
}

/**
 * Refuses files that only the command line names. Nx hashes such an option but not the file's content, so a cacheable target would
 * still get the old output after the file has changed.
 * @param names the options that name files
 * @throws IgvmError NX_OPTION_UNTRACKED
 */
export function checkTrackedOptions(
  { root, projectGraph }: Pick<ExecutorContext, 'root'> & Partial<Pick<ExecutorContext, 'projectGraph'>>,
  task: TaskTarget | undefined,
  options: object,
  names: readonly string[],
): void {
  const target = task === undefined ? undefined : projectGraph?.nodes[task.project]?.data.targets?.[task.target];
  if (target?.cache !== true) return;
  const configured: Record<string, unknown> = {
    ...target.options,
    ...(task?.configuration === undefined ? {} : target.configurations?.[task.configuration]),
  };
  const values = options as Record<string, unknown>;
  for (const name of names) {
    const [given, own] = [values[name], configured[name]];
    if (typeof given !== 'string' || (typeof own === 'string' && resolve(root, own) === resolve(root, given))) continue;
    throw new IgvmError(
      'NX_OPTION_UNTRACKED',
      `Nx would not notice changes in a file that only --${name}=${given} names`,
    );
  }
}
