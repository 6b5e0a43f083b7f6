import type { ManifestBuild } from '../builder/build-manifest';
import type { BuildReport } from '../builder/build-report';
import { formatPlaced } from '../errors/igvm-error';
import { messageSink } from '../errors/printable';
import type { CliEnvironment } from './cli';

/** Builds of fewer pages are over before a bar could be read: 64 MiB. */
const SHOW_ABOVE_PAGES = 16384;

/** Builds, prints warnings to stderr, and where a person watches shows how far a large image is. */
export async function buildWithProgress(environment: CliEnvironment, build: ManifestBuild): Promise<BuildReport> {
  const { buildManifest } = require('../builder/build-manifest') as typeof import('../builder/build-manifest');
  const { message } = build;
  const messages = message === undefined ? undefined : messageSink(message, environment.isInteractive);
  const bar = environment.isInteractive ? progressBar() : undefined;
  try {
    return await buildManifest({
      ...build,
      warn: ({ message, where }) => environment.stderr(`warning: ${formatPlaced(message, where)}\n`),
      progress: bar?.update,
      message: messages?.add,
    });
  } finally {
    messages?.end();
    bar?.stop();
  }
}

function progressBar(): { update: (done: number, total: number) => void; stop: () => void } {
  const { Presets, SingleBar } = require('cli-progress') as typeof import('cli-progress');
  let bar: InstanceType<typeof SingleBar> | undefined;
  return {
    update(done, total) {
      if (total < SHOW_ABOVE_PAGES) return;
      if (bar === undefined) {
        bar = new SingleBar(
          { format: '{bar} {percentage}% of {total} pages', clearOnComplete: true },
          Presets.shades_classic,
        );
        bar.start(total, done);
      }
      bar.update(done);
    },
    stop: () => bar?.stop(),
  };
}
