import { findInPath } from '../../src/boot/system-packages';
import { prepareTemplate } from './template';

/** Packs the plugin once for all e2e suites, and adds it to a workspace of the repository's Nx. */
export default async function setup(): Promise<void> {
  // All of them are skipped where git is missing (setup.ts).
  if (findInPath('git', process.env['PATH'] ?? '') !== undefined) await prepareTemplate();
}
