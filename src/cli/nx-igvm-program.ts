import { registerBoot } from './commands/boot';
import { registerBuild } from './commands/build';
import { registerExport } from './commands/export';
import { registerInitrd } from './commands/initrd';
import type { ProgramDescription } from './run';

/** The `nx-igvm` command. */
export const NX_IGVM: ProgramDescription = {
  name: 'nx-igvm',
  description: 'Build, inspect, measure and sign IGVM guest images',
  commands: [registerBuild, registerBoot, registerExport, registerInitrd],
};
