import { dirname, join, relative, resolve, sep } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { logger } from '../../plugin/workspace-nx';
import { type ErrorWhere, formatPlaced } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { checkOutputReference } from '../../plugin/output-references';
import { shownPath } from '../../files/file-failure';
import { asTask } from '../as-task';
import { checkTarget, checkTrackedOptions, targetOf } from '../check-target';
import type { OutputReference } from '../../resources/resource-reference';
import type { InitrdExecutorSchema } from './schema';

/** Packs an initramfs. */
export default async function initrdExecutor(
  { config, outputPath, private: isPrivate, ownKeys, ...settings }: InitrdExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const { fetchInitrdUrls, INITRD_NAMES, loadInitrd } =
    require('../../initrd/load-initrd') as typeof import('../../initrd/load-initrd');
  const { downloadDisplay } = require('../../cli/download-display') as typeof import('../../cli/download-display');
  const { notExecutableWarning, packInitrd } =
    require('../../initrd/pack-initrd') as typeof import('../../initrd/pack-initrd');
  const { root } = context;
  return asTask(context, async () => {
    checkTrackedOptions(context, targetOf(context), { config }, ['config']);
    checkTarget(context, targetOf(context), { config, outputPath, ownKeys });
    const path = resolve(root, config);
    const isInteractive = process.stderr.isTTY === true;
    const shown = downloadDisplay(settings, { cwd: root, isInteractive, say: (line) => logger.info(line) });
    const place = { display: config, workspaceRoot: root };
    const fetched = await fetchInitrdUrls(path, place, shown).finally(() => shown.stop());
    const checkOutput = (...named: [OutputReference, ErrorWhere]): void => checkOutputReference(context, ...named);
    const { warnings, ...initrd } = loadInitrd(path, config, root, checkOutput, fetched);
    for (const { message, where } of warnings) logger.warn(formatPlaced(message, where));
    const output = resolve(root, outputPath ?? defaultFolder(context, config), INITRD_NAMES[initrd.compression]);
    const report = await packInitrd({ ...initrd, output, private: isPrivate });
    const outside = initrd.folder === undefined ? undefined : outsideNote(root, initrd.folder);
    if (outside !== undefined) logger.warn(printable(outside));
    if (report.withoutInit !== undefined) logger.warn(report.withoutInit);
    const warning = notExecutableWarning(report.notExecutable);
    if (warning !== undefined) logger.warn(printable(warning));
    const display = relative(root, output).split(sep).join('/');
    const packed = initrd.compression === 'none' ? '' : `, ${report.archiveSize} before ${initrd.compression}`;
    logger.info(`${printable(display)}: ${report.size} bytes${packed}, ${report.entryCount} entries`);
    return { success: true };
  });
}

/** What a reviewer should know of where the contents come from. @param folder absolute path */
function outsideNote(root: string, folder: string): string | undefined {
  const { isInside, leadsOut } = require('../../files/regular-file') as typeof import('../../files/regular-file');
  if (!isInside(root, folder)) return `the folder that is packed is outside the workspace: ${folder}`;
  const shown = shownPath(root, folder);
  return leadsOut(root, folder)
    ? `the folder that is packed leads out of the workspace by a link: ${shown}`
    : undefined;
}

/** `dist/` and the project's root; for a file outside of any project, its own folder. */
function defaultFolder({ projectName, projectsConfigurations }: ExecutorContext, config: string): string {
  const project = projectName === undefined ? undefined : projectsConfigurations.projects[projectName];
  return join('dist', project?.root ?? dirname(config));
}
