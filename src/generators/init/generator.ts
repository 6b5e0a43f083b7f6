import { join } from 'node:path';
import {
  type GeneratorCallback,
  readJson,
  readJsonFile,
  readNxJson,
  type Tree,
  updateNxJson,
} from 'nx/src/devkit-exports';
import { GROUP_EXECUTOR, IMAGE_TARGETS, INITRD_EXECUTOR } from '../../plugin/inferred-targets';
import { nxVersion, PACKAGE_NAME, PACKAGE_ROOT, requireSupportedNx } from '../../plugin/workspace-nx';
import { formatFiles, reportingUserErrors } from '../workspace/generate';
import { addDevDependency } from '../workspace/install-packages';

/** Options of `nx g nx-igvm:init`, described in schema.json. */
interface InitGeneratorSchema {
  skipPackageJson?: boolean;
  skipFormat?: boolean;
}

/** Prepares a workspace: the plugin in nx.json and package.json, its outputs in .gitignore. Idempotent. */
export function initGenerator(tree: Tree, options: InitGeneratorSchema): Promise<GeneratorCallback> {
  return reportingUserErrors('init', async () => {
    requireSupportedNx(nxVersion(tree.root));
    registerPlugin(tree);
    ignoreOutputs(tree);
    const install = options.skipPackageJson || isListed(tree) ? nothing : addPackage(tree);
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
    return install;
  });
}

const nothing: GeneratorCallback = () => undefined;

/** Whether package.json lists the package, in any version or form. Without a package.json, Nx installs by itself. */
function isListed(tree: Tree): boolean {
  if (!tree.exists('package.json')) {
    return true;
  }
  const { dependencies, devDependencies } = readJson<Record<string, Record<string, string> | undefined>>(
    tree,
    'package.json',
  );
  return PACKAGE_NAME in { ...dependencies, ...devDependencies };
}

function addPackage(tree: Tree): GeneratorCallback {
  return addDevDependency(tree, PACKAGE_NAME, pluginVersion());
}

export default initGenerator;

/** Version of this package, to pin in a workspace that doesn't list it yet. */
export function pluginVersion(): string {
  return readJsonFile<{ version: string }>(join(PACKAGE_ROOT, 'package.json')).version;
}

/** The executors, as targets name them. */
const EXECUTORS = [
  ...new Set([...Object.values(IMAGE_TARGETS).map(({ executor }) => executor), INITRD_EXECUTOR, GROUP_EXECUTOR]),
];

/**
 * Lists the plugin once in nx.json, by its bare name, and gives each of its executors an entry in `targetDefaults`. Such an entry takes
 * precedence over one for the target's name, which in most workspaces replaces the inferred `inputs` and `dependsOn`. An empty entry keeps
 * everything that is inferred, whatever the targets are called. Existing entries stay as they are.
 */
export function registerPlugin(tree: Tree): void {
  const nxJson = readNxJson(tree) ?? {};
  const { plugins = [], targetDefaults = {} } = nxJson;
  const listed = plugins.some((entry) => (typeof entry === 'string' ? entry : entry.plugin) === PACKAGE_NAME);
  const missing = EXECUTORS.filter((executor) => !Object.hasOwn(targetDefaults, executor));
  if (listed && missing.length === 0) return;
  updateNxJson(tree, {
    ...nxJson,
    plugins: listed ? plugins : [...plugins, PACKAGE_NAME],
    targetDefaults: { ...targetDefaults, ...Object.fromEntries(missing.map((executor) => [executor, {}])) },
  });
}

const IGNORES_DIST = /^\/?dist\/?$/m;

/** Keeps built images out of version control: adds `dist` to .gitignore unless a line already covers it. */
export function ignoreOutputs(tree: Tree): void {
  const content = tree.read('.gitignore', 'utf8') ?? '';
  if (IGNORES_DIST.test(content.replace(/\r/g, ''))) {
    return;
  }
  const separator = content === '' || content.endsWith('\n') ? '' : '\n';
  tree.write('.gitignore', `${content}${separator}dist\n`);
}
