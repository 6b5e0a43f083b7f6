import { registerAddSnpIdBlock } from './commands/add-snp-id-block';
import { registerBoot } from './commands/boot';
import { registerBuild } from './commands/build';
import { registerDiff } from './commands/diff';
import { registerDump } from './commands/dump';
import { registerDumpCorim } from './commands/dump-corim';
import { registerExport } from './commands/export';
import { registerInitrd } from './commands/initrd';
import { registerInspect } from './commands/inspect';
import { registerMeasure } from './commands/measure';
import { registerPatchCorimSignature } from './commands/patch-corim-signature';
import { registerVerify } from './commands/verify';
import type { ProgramDescription } from './run';

/** The `nx-igvm` command. */
export const NX_IGVM: ProgramDescription = {
  name: 'nx-igvm',
  description: 'Build, inspect, measure and sign IGVM guest images',
  commands: [
    registerBuild,
    registerBoot,
    registerExport,
    registerInitrd,
    registerInspect,
    registerDump,
    registerMeasure,
    registerVerify,
    registerDiff,
    registerDumpCorim,
    registerAddSnpIdBlock,
    registerPatchCorimSignature,
  ],
};
