import type { ProgramDescription } from './run';

/** The `igvminspect` command: the command line of the Rust tool of that name. */
export const IGVMINSPECT: ProgramDescription = {
  name: 'igvminspect',
  description: 'Tool to inspect IGVM files',
  commands: {
    dump: () => (require('./commands/dump') as typeof import('./commands/dump')).registerIgvmfilegenDump,
    extract: () => (require('./commands/extract') as typeof import('./commands/extract')).registerIgvminspectExtract,
  },
};
