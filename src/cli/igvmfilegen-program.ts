import { registerAddSnpIdBlock } from './commands/add-snp-id-block';
import { registerIgvmfilegenDump } from './commands/dump';
import { registerIgvmfilegenDumpCorim } from './commands/dump-corim';
import { registerManifest } from './commands/manifest';
import { registerPatchCorimSignature } from './commands/patch-corim-signature';
import type { ProgramDescription } from './run';

/** The `igvmfilegen` command: the command line of the Rust tool of that name. */
export const IGVMFILEGEN: ProgramDescription = {
  name: 'igvmfilegen',
  description: 'Tool to generate IGVM files',
  commands: [
    registerIgvmfilegenDump,
    registerIgvmfilegenDumpCorim,
    registerManifest,
    registerAddSnpIdBlock,
    registerPatchCorimSignature,
  ],
};
