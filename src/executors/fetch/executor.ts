import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import { logger } from '../../plugin/workspace-nx';
import { asTask } from '../as-task';
import type { FetchExecutorSchema } from './schema';

/** Downloads what a manifest names by URL. */
export default async function fetchExecutor(
  { manifest, downloads, downloadLimit }: FetchExecutorSchema,
  context: Pick<ExecutorContext, 'root'>,
): Promise<{ success: boolean }> {
  const { root } = context;
  const { downloadDisplay } = require('../../cli/download-display') as typeof import('../../cli/download-display');
  const { loadManifest } = require('../../manifest/load-manifest') as typeof import('../../manifest/load-manifest');
  const { fetchUrls } =
    require('../../resources/resolve-resources') as typeof import('../../resources/resolve-resources');
  const isInteractive = process.stderr.isTTY === true;
  return asTask(context, async () => {
    const display = shownPath(root, resolve(root, manifest));
    const loaded = loadManifest(resolve(root, manifest), { within: root, display });
    const say = (line: string): void => logger.info(line);
    const shown = downloadDisplay({ downloads, downloadLimit }, { cwd: root, isInteractive, say });
    const fetched = await fetchUrls(loaded, shown).finally(() => shown.stop());
    for (const { display: name } of fetched.values()) logger.info(`${printable(name)} is here`);
    if (fetched.size === 0) logger.info(`${printable(display)} names no URL that its images use`);
    return { success: true };
  });
}
