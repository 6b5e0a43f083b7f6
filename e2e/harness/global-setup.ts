import { findProgram } from '../../src/files/find-program';
import { prepareTemplate } from './template';

/** Packs the plugin once for all e2e suites, and adds it to a workspace of the repository's Nx. */
export default async function setup(): Promise<void> {
  // Without git, all of them are skipped (setup.ts).
  if (findProgram('git') !== undefined) await prepareTemplate();
}
