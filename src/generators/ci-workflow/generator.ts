import { join } from 'node:path';
import {
  detectPackageManager,
  getPackageManagerCommand,
  joinPathFragments,
  readNxJson,
  type Tree,
} from 'nx/src/devkit-exports';
import { formatFiles } from '../workspace/format-files';
import { generateFiles } from '../workspace/generate-files';
import { logger } from '../../plugin/logger';
import { IgvmError } from '../../errors/igvm-error';
import { SIBLINGS } from '../../manifest/image-files';
import { requireFree } from '../workspace/project-location';
import { reportingUserErrors } from '../workspace/user-errors';
import type { CiWorkflowGeneratorSchema } from './schema';

/** Where each service looks for workflows. */
const FOLDERS = { github: '.github/workflows', gitlab: '.gitlab/ci' } as const;

/** What builds of images leave, as patterns of both services: an image, its map, and files about its platforms. */
const IMAGE_FILES = [
  'dist/**/*.igvm',
  'dist/**/*.igvm.map',
  ...SIBLINGS.flatMap(({ extension, platforms }) => platforms.map((platform) => `dist/**/*-${platform}${extension}`)),
];

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
    const mainBranch = readNxJson(tree)?.defaultBase ?? 'main';
    // It goes into quotes of YAML and of GitLab's conditions, and into GitHub's patterns.
    if (!/^\w[\w./@-]*$/.test(mainBranch)) {
      throw new IgvmError(
        'GENERATOR_OPTION',
        `defaultBase in nx.json is "${mainBranch}", and a workflow takes letters, digits and . / @ - _ only`,
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
      mainBranch,
      imageFiles: IMAGE_FILES,
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
