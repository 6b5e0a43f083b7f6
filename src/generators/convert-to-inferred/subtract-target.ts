import type { TargetConfiguration } from 'nx/src/devkit-exports';

/** What an executor's target is about: the option that names it. */
export const SUBJECT: Record<string, string> = {
  'nx-igvm:build': 'manifest',
  'nx-igvm:initrd': 'config',
  'nx-igvm:inspect': 'image',
  'nx-igvm:measure': 'image',
  'nx-igvm:verify': 'image',
  'nx-igvm:sign': 'image',
  'nx-igvm:boot': 'image',
};

/**
 * What an explicit target says beyond the inferred one: nothing (`{}`), or a partial target that extends it. Undefined when the
 * two are about different things, so that one can't stand for the other.
 * @param root the project's folder, which `{projectRoot}` means
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

/** Files are known from the manifest; what a user tracks besides stays. Outputs follow the options. */
function isBeyondFiles(input: NonNullable<TargetConfiguration['inputs']>[number]): boolean {
  if (typeof input === 'string') return false;
  return 'env' in input || 'runtime' in input || 'json' in input;
}

/** A path option without tokens and decoration, so that two spellings of a place are equal. */
function plainPath(value: unknown, root: string): unknown {
  if (typeof value !== 'string') return value;
  return value
    .replaceAll('{projectRoot}', root)
    .replace(/^\{workspaceRoot\}\//, '')
    .replace(/^\.\//, '')
    .replace(/\/$/, '');
}
