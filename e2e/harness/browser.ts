import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Blocks, needing, skippedFor } from '../../src/boot/needing.fixture';

/** Program names of Chromium. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** Path of a Chromium: the one in CHROMIUM, or the first in PATH; undefined if there is none. */
export function findChromium(): string | undefined {
  const named = process.env['CHROMIUM'];
  if (named !== undefined) return named;
  const folders = (process.env['PATH'] ?? '').split(':');
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path));
}

/** Blocks of tests that open a page in {@link findChromium}. */
export const needingBrowser = (): Blocks =>
  findChromium() === undefined ? needing('chromium') : skippedFor(undefined);
