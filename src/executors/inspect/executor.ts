import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { logger } from '../../plugin/workspace-nx';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import { asTask } from '../as-task';
import { checkTarget, checkTrackedOptions, targetOf } from '../check-target';
import type { InspectExecutorSchema } from './schema';

/** Shows what is in an image. */
export default async function inspectExecutor(
  options: InspectExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const { image, format = 'html', lock, outputPath } = options;
  const { root } = context;
  const { inspectImage, pagePath } =
    require('../../inspect/inspect-file') as typeof import('../../inspect/inspect-file');
  const output = outputPath ?? (format === 'html' ? pagePath(image) : undefined);
  return asTask(
    context,
    async () => {
      checkTrackedOptions(context, targetOf(context), options, ['image', 'lock']);
      checkTarget(context, targetOf(context), options);
      await inspectImage({
        image: resolve(root, image),
        format,
        name: image,
        // The inferred target names a lock before anybody has written it: the page says that there is none.
        lock: lock === undefined ? undefined : { path: resolve(root, lock), isOptional: true },
        display: (path) => shownPath(root, path),
        output: output === undefined ? undefined : resolve(root, output),
        write: (text) => void process.stdout.write(text),
      });
      if (output !== undefined)
        logger.info(`${printable(output)}: ${format === 'html' ? 'open it in a browser' : format}`);
      return { success: true };
    },
    options.lock,
  );
}
