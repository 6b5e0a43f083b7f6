import { join } from 'node:path';
import {
  detectPackageManager,
  formatFiles,
  generateFiles,
  getPackageManagerCommand,
  joinPathFragments,
  logger,
  readNxJson,
  type Tree,
} from '@nx/devkit';
import { IgvmError } from '../../errors/igvm-error';
import { requireFree } from '../workspace/project-location';
import { reportingUserErrors } from '../workspace/user-errors';
import type { CiWorkflowGeneratorSchema } from './schema';

/** Where each service looks for workflows. */
const FOLDERS = { github: '.github/workflows', gitlab: '.gitlab/ci' } as const;

/** Creates a workflow that builds and verifies affected images. */
export function ciWorkflowGenerator(tree: Tree, options: CiWorkflowGeneratorSchema): Promise<void> {
  return reportingUserErrors(async () => {
    const { ci = 'github', name = 'images' } = options;
    if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(name)) {
      throw new IgvmError(
        'GENERATOR_OPTION',
        `"${name}" can't name a workflow: use letters, digits, dashes and underscores`,
      );
    }
    const folder = FOLDERS[ci];
    const file = joinPathFragments(folder, `${name}.yml`);
    requireFree(tree, file);
    const packageManager = detectPackageManager(tree.root);
    const commands = getPackageManagerCommand(packageManager, tree.root);
    generateFiles(tree, join(__dirname, 'files', ci), folder, {
      name,
      packageManager,
      install: commands.ciInstall,
      exec: commands.exec,
      mainBranch: readNxJson(tree)?.defaultBase ?? 'main',
    });
    if (ci === 'gitlab') {
      logger.info(`Add "include: ${file}" to .gitlab-ci.yml.`);
    }
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
  });
}

export default ciWorkflowGenerator;
