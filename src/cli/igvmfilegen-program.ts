import type { ProgramDescription } from './run';

/** The `igvmfilegen` command: the command line of the Rust tool of that name. */
export const IGVMFILEGEN: ProgramDescription = {
  name: 'igvmfilegen',
  description: 'Tool to generate IGVM files',
  commands: {
    dump: () => (require('./commands/dump') as typeof import('./commands/dump')).registerIgvmfilegenDump,
    'dump-corim': () =>
      (require('./commands/dump-corim') as typeof import('./commands/dump-corim')).registerIgvmfilegenDumpCorim,
    manifest: () => (require('./commands/manifest') as typeof import('./commands/manifest')).registerManifest,
    'add-snp-id-block': () =>
      (require('./commands/add-snp-id-block') as typeof import('./commands/add-snp-id-block'))
        .registerIgvmfilegenAddSnpIdBlock,
    'patch-corim-signature': () =>
      (require('./commands/patch-corim-signature') as typeof import('./commands/patch-corim-signature'))
        .registerIgvmfilegenPatchCorimSignature,
  },
};
