import { join, posix, win32 } from 'node:path';
import {
  detectPackageManager,
  getPackageManagerCommand,
  getProjects,
  joinPathFragments,
  readNxJson,
  type Tree,
} from 'nx/src/devkit-exports';
import { formatFiles, generateFiles, reportingUserErrors } from '../workspace/generate';
import { logger } from '../../plugin/workspace-nx';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { SIBLINGS } from '../../manifest/image-files';
import { requireFree } from '../workspace/project-location';

/** Options of `nx g nx-igvm:ci-workflow`, described in schema.json. */
interface CiWorkflowGeneratorSchema {
  ci?: 'github' | 'gitlab';
  name?: string;
  skipFormat?: boolean;
}

/** The folder in which each service looks for workflows. */
const FOLDERS = { github: '.github/workflows', gitlab: '.gitlab/ci' } as const;

/**
 * The actions that the workflow uses. Each is pinned to the commit of a release, because a tag can later be moved to other code. The
 * releases follow as comments, which update services (Dependabot, Renovate) read and keep up to date.
 */
const ACTIONS = {
  checkout: 'actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2',
  setupPnpm: 'pnpm/action-setup@a7487c7e89a18df4991f7f222e4898a00d66ddda # v4.1.0',
  setupBun: 'oven-sh/setup-bun@735343b667d3e6f658f44d0eca948eb6282f2b76 # v2.0.2',
  setupNode: 'actions/setup-node@49933ea5288caeca8642d1e84afbd3f7d6820020 # v4.4.0',
  setShas: 'nrwl/nx-set-shas@3e9ad7370203c1e93d109be57f3b72eb0eb511b1 # v4.4.0',
  uploadArtifact: 'actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2',
} as const;

/** The output files of builds, as patterns for both services: images, maps, and files about their platforms. */
const IMAGE_FILES = [
  'dist/**/*.igvm',
  'dist/**/*.igvm.map',
  ...SIBLINGS.flatMap(({ extension, platforms }) => platforms.map((platform) => `dist/**/*-${platform}${extension}`)),
];

/** Creates a workflow that builds and verifies affected images. */
export function ciWorkflowGenerator(tree: Tree, options: CiWorkflowGeneratorSchema): Promise<void> {
  return reportingUserErrors('ci-workflow', async () => {
    const { ci = 'github', name = 'images' } = options;
    if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(name)) {
      throw new IgvmError(
        'GENERATOR_OPTION',
        `"${name}" can't name a workflow: use letters, digits, dashes and underscores`,
      );
    }
    const mainBranch = readNxJson(tree)?.defaultBase ?? 'main';
    // The name is used in quotes in YAML and GitLab's conditions, and in GitHub's patterns.
    if (!/^\w[\w./@-]*$/.test(mainBranch)) {
      throw new IgvmError(
        'GENERATOR_OPTION',
        `defaultBase in nx.json is "${mainBranch}", but a workflow accepts only letters, digits and . / @ - _`,
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
      actions: ACTIONS,
    });
    if (ci === 'gitlab') {
      logger.info(`Add "include: ${file}" to .gitlab-ci.yml.`);
    }
    warnOfLocalFiles(tree);
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
  });
}

/** Files named in a warning. */
const MOST_NAMED = 5;

/** Warns about resources outside the workspace, such as kernels in `/boot`: a runner has others, or none. */
function warnOfLocalFiles(tree: Tree): void {
  const named = [...getProjects(tree).values()].flatMap(({ root }) =>
    tree
      .children(root)
      .filter((file) => file === 'igvm.json' || file.endsWith('.igvm.json'))
      .flatMap((file) => localFiles(tree, joinPathFragments(root, file))),
  );
  if (named.length === 0) return;
  const more = named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : '';
  logger.warn(
    `CI runners don't have ${printable(named.slice(0, MOST_NAMED).join(', '))}${more}. https://github.com/nx-igvm/nx-igvm/blob/main/docs/binaries.md#in-ci explains how all machines get the same files.`,
  );
}

/** The absolute paths among a manifest's resources, with the manifest. What can't be read is reported by its build. */
function localFiles(tree: Tree, manifest: string): string[] {
  let resources: unknown;
  try {
    ({ resources } = JSON.parse(tree.read(manifest, 'utf8') ?? '{}') as { resources?: unknown });
  } catch {
    return [];
  }
  if (typeof resources !== 'object' || resources === null) return [];
  return Object.values(resources as Record<string, unknown>).flatMap((resource) => {
    const path: unknown =
      typeof resource === 'object' && resource !== null && 'path' in resource && !('project' in resource)
        ? resource.path
        : resource;
    if (typeof path !== 'string' || (!posix.isAbsolute(path) && !win32.isAbsolute(path))) return [];
    return [`${path} (${manifest})`];
  });
}

export default ciWorkflowGenerator;
