import { type GeneratorCallback, readJson, type Tree } from 'nx/src/devkit-exports';
import { addDevDependency } from '../workspace/install-packages';
import { formatFiles } from '../workspace/format-files';
import { nxVersion, requireSupportedNx } from '../../plugin/workspace-nx';
import { PACKAGE_NAME } from '../../plugin/plugin-place';
import { ignoreOutputs } from '../workspace/ignored-outputs';
import { pluginVersion, registerPlugin } from '../workspace/plugin-registration';
import { reportingUserErrors } from '../workspace/user-errors';
import type { InitGeneratorSchema } from './schema';

/** Prepares a workspace: the plugin in nx.json and package.json, its outputs in .gitignore. Idempotent. */
export function initGenerator(tree: Tree, options: InitGeneratorSchema): Promise<GeneratorCallback> {
  return reportingUserErrors(async () => {
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

/** Whether package.json has the package, in whatever version or form the user chose. Without one, Nx installs by itself. */
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
