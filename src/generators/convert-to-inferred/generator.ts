import {
  getProjects,
  joinPathFragments,
  readJson,
  readNxJson,
  type TargetConfiguration,
  type Tree,
  writeJson,
} from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { inferTargets } from '../../plugin/create-nodes';
import type { PluginOptions } from '../../plugin/configuration';
import { logger, PACKAGE_NAME } from '../../plugin/workspace-nx';
import { initGenerator } from '../init/generator';
import { formatFiles, reportingUserErrors } from '../workspace/generate';

/** Options of `nx g nx-igvm:convert-to-inferred`, described in schema.json. */
interface ConvertToInferredGeneratorSchema {
  project?: string;
  skipFormat?: boolean;
}

/** Removes explicit targets from project files if the plugin infers the same targets. */
export function convertToInferredGenerator(tree: Tree, options: ConvertToInferredGeneratorSchema): Promise<void> {
  return reportingUserErrors('convert-to-inferred', async () => {
    await initGenerator(tree, { skipFormat: true, skipPackageJson: true });
    const projects = [...getProjects(tree)].filter(
      ([name]) => options.project === undefined || name === options.project,
    );
    if (options.project !== undefined && projects.length === 0) {
      throw new IgvmError('GENERATOR_OPTION', `there is no project ${options.project}`);
    }
    let explicit = 0;
    for (const [name, { root }] of projects) explicit += convertProject(tree, name, root);
    if (explicit === 0) {
      const where = options.project === undefined ? '' : ` of ${options.project}`;
      logger.info(
        `Nothing to convert: no project.json or package.json${where} has targets with executors of ${PACKAGE_NAME}`,
      );
    }
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
  });
}

type Targets = Record<string, TargetConfiguration>;

/** The places of a project's explicit targets. */
const FILES: { file: string; targetsOf: (json: ProjectFile) => Targets | undefined }[] = [
  { file: 'project.json', targetsOf: (json) => json.targets },
  { file: 'package.json', targetsOf: (json) => json.nx?.targets },
];

interface ProjectFile {
  targets?: Targets;
  nx?: { targets?: Targets };
}

/** @returns the number of targets with our executors in the project's files */
function convertProject(tree: Tree, name: string, root: string): number {
  let explicit = 0;
  const inferred = inferredTargets(tree, root);
  for (const { file, targetsOf } of FILES) {
    const path = joinPathFragments(root, file);
    if (!tree.exists(path)) continue;
    const json = readJson<ProjectFile>(tree, path);
    // Edited in place: the rest of the file must not change.
    const targets = targetsOf(json);
    if (targets === undefined) continue;
    explicit += Object.values(targets).filter(isOurs).length;
    if (convertTargets(name, root, targets, inferred)) writeJson(tree, path, json);
  }
  return explicit;
}

const isOurs = ({ executor }: TargetConfiguration): boolean => executor !== undefined && executor in SUBJECT;

/** Whether anything changed. */
function convertTargets(name: string, root: string, targets: Targets, inferred: Targets): boolean {
  let changed = false;
  for (const [target, explicit] of Object.entries(targets)) {
    if (!isOurs(explicit)) continue;
    const counterpart = inferred[target];
    const rest = counterpart === undefined ? undefined : subtractTarget(explicit, counterpart, root);
    if (rest === undefined) {
      logger.warn(`${name}:${target} stays as it is: ${reason(explicit, counterpart, inferred)}`);
      continue;
    }
    changed = true;
    const own = Object.keys(rest);
    if (own.length === 0) delete targets[target];
    else targets[target] = rest;
    logger.info(`${name}:${target} is now inferred${own.length === 0 ? '' : `, and keeps its own ${own.join(', ')}`}`);
  }
  return changed;
}

function reason(
  explicit: TargetConfiguration,
  counterpart: TargetConfiguration | undefined,
  inferred: Targets,
): string {
  if (counterpart !== undefined) return 'the inferred target of this name is for another file';
  const [other] = Object.entries(inferred).find(([, { executor }]) => executor === explicit.executor) ?? [];
  return other === undefined
    ? "its file is not in the project's folder, or not called igvm.json, NAME.igvm.json or initrd.json"
    : `it is inferred as "${other}"; rename it, or set this name in the plugin's options in nx.json`;
}

/** The targets that the plugin infers from a project's folder, with its options in nx.json. */
function inferredTargets(tree: Tree, root: string): Targets {
  const nxJson = readNxJson(tree) ?? {};
  const entry = nxJson.plugins?.find((plugin) => typeof plugin !== 'string' && plugin.plugin === PACKAGE_NAME);
  const options = typeof entry === 'object' ? (entry.options as PluginOptions | undefined) : undefined;
  const files = tree
    .children(root)
    .filter((file) => /^(?:(?:.*\.)?igvm|initrd)\.json$/.test(file))
    .map((file) => joinPathFragments(root, file));
  if (files.length === 0) return {};
  const context = { workspaceRoot: tree.root, nxJsonConfiguration: nxJson };
  // Warnings are ignored: lists that replace inferred ones, for example, are about to change.
  const results = inferTargets(files, options, context, () => undefined);
  const targets = results.flatMap(([, result]) =>
    Object.values(result.projects ?? {}).map((project) => project.targets),
  );
  return Object.assign({}, ...targets) as Targets;
}

export default convertToInferredGenerator;

/** The option that names the subject of an executor's target. */
export const SUBJECT: Record<string, string> = {
  'nx-igvm:build': 'manifest',
  'nx-igvm:initrd': 'config',
  'nx-igvm:inspect': 'image',
  'nx-igvm:fetch': 'manifest',
  'nx-igvm:measure': 'image',
  'nx-igvm:verify': 'image',
  'nx-igvm:sign': 'image',
  'nx-igvm:boot': 'image',
};

/**
 * What an explicit target adds to the inferred one: nothing (`{}`), or a partial target that extends it. Undefined if the two have
 * different subjects, so that one can't replace the other.
 * @param root the project's folder, which replaces `{projectRoot}`
 */
export function subtractTarget(
  explicit: TargetConfiguration,
  inferred: TargetConfiguration,
  root: string,
): Partial<TargetConfiguration> | undefined {
  if (explicit.executor !== inferred.executor) return undefined;
  const subject = SUBJECT[explicit.executor ?? ''] ?? '';
  const plain = (value: unknown): unknown => plainPath(value, root);
  const own = explicit.options?.[subject] as unknown;
  if (own !== undefined && plain(own) !== plain(inferred.options?.[subject])) return undefined;

  const { executor: _, cache, options, inputs, outputs: __, dependsOn, ...rest } = explicit;
  const ownOptions = Object.entries((options as Record<string, unknown> | undefined) ?? {}).filter(
    ([key, value]) => JSON.stringify(plain(value)) !== JSON.stringify(plain(inferred.options?.[key])),
  );
  const ownInputs = (inputs ?? []).filter(isBeyondFiles);
  const inferredDependencies = (inferred.dependsOn ?? []).map((dependency) => JSON.stringify(dependency));
  const ownDependencies = (dependsOn ?? []).filter(
    (dependency) => dependency !== '...' && !inferredDependencies.includes(JSON.stringify(dependency)),
  );
  return {
    ...rest,
    ...(cache === undefined || cache === inferred.cache ? {} : { cache }),
    ...(ownOptions.length === 0 ? {} : { options: Object.fromEntries(ownOptions) as Record<string, unknown> }),
    ...(ownInputs.length === 0 ? {} : { inputs: ['...', ...ownInputs] }),
    ...(ownDependencies.length === 0 ? {} : { dependsOn: ['...', ...ownDependencies] }),
  };
}

/** Files in the manifest are tracked anyway. Other inputs of the user stay. Outputs follow the options. */
function isBeyondFiles(input: NonNullable<TargetConfiguration['inputs']>[number]): boolean {
  if (typeof input === 'string') return false;
  return 'env' in input || 'runtime' in input || 'json' in input;
}

/** A normalized path option without tokens, so that two spellings of a path are equal. */
function plainPath(value: unknown, root: string): unknown {
  if (typeof value !== 'string') return value;
  return value
    .replaceAll('{projectRoot}', root)
    .replace(/^\{workspaceRoot\}\//, '')
    .replace(/^\.\//, '')
    .replace(/\/$/, '');
}
