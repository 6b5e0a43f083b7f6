import { registerManifest } from './commands/manifest';
import type { ProgramDescription } from './run';

/** The `igvmfilegen` command: the command line of the Rust tool of that name. */
export const IGVMFILEGEN: ProgramDescription = {
  name: 'igvmfilegen',
  description: 'Tool to generate IGVM files',
  commands: [registerManifest],
};
