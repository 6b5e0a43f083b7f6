import type { ProgramDescription } from './run';

/** The `nx-igvm` command. */
export const NX_IGVM: ProgramDescription = {
  name: 'nx-igvm',
  description: 'Build, inspect, measure and sign IGVM guest images',
  commands: {
    build: () => (require('./commands/build') as typeof import('./commands/build')).registerBuild,
    pack: () => (require('./commands/pack') as typeof import('./commands/pack')).registerPack,
    boot: () => (require('./commands/boot') as typeof import('./commands/boot')).registerBoot,
    export: () => (require('./commands/export') as typeof import('./commands/export')).registerExport,
    fetch: () => (require('./commands/fetch') as typeof import('./commands/fetch')).registerFetch,
    initrd: () => (require('./commands/initrd') as typeof import('./commands/initrd')).registerInitrd,
    wrap: () => (require('./commands/wrap') as typeof import('./commands/wrap')).registerWrap,
    update: () => (require('./commands/update') as typeof import('./commands/update')).registerUpdate,
    inspect: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerInspect,
    dump: () => (require('./commands/dump') as typeof import('./commands/dump')).registerDump,
    extract: () => (require('./commands/extract') as typeof import('./commands/extract')).registerExtract,
    measure: () => (require('./commands/measure') as typeof import('./commands/measure')).registerMeasure,
    lint: () => (require('./commands/lint') as typeof import('./commands/lint')).registerLint,
    verify: () => (require('./commands/verify') as typeof import('./commands/verify')).registerVerify,
    'verify-report': () =>
      (require('./commands/verify-report') as typeof import('./commands/verify-report')).registerVerifyReport,
    'reference-values': () =>
      (require('./commands/reference-values') as typeof import('./commands/reference-values')).registerReferenceValues,
    explain: () => (require('./commands/explain') as typeof import('./commands/explain')).registerExplain,
    diff: () => (require('./commands/diff') as typeof import('./commands/diff')).registerDiff,
    'dump-corim': () => (require('./commands/dump-corim') as typeof import('./commands/dump-corim')).registerDumpCorim,
    'add-snp-id-block': () =>
      (require('./commands/add-snp-id-block') as typeof import('./commands/add-snp-id-block')).registerAddSnpIdBlock,
    'patch-corim-signature': () =>
      (require('./commands/patch-corim-signature') as typeof import('./commands/patch-corim-signature'))
        .registerPatchCorimSignature,
  },
};

/** The `igvmfilegen` command: the command line of the Rust tool of that name. */
export const IGVMFILEGEN: ProgramDescription = {
  name: 'igvmfilegen',
  description: 'Tool to generate IGVM files',
  commands: {
    dump: () => (require('./commands/dump') as typeof import('./commands/dump')).registerIgvmfilegenDump,
    'dump-corim': () =>
      (require('./commands/dump-corim') as typeof import('./commands/dump-corim')).registerIgvmfilegenDumpCorim,
    manifest: () => (require('./commands/build') as typeof import('./commands/build')).registerManifest,
    'add-snp-id-block': () =>
      (require('./commands/add-snp-id-block') as typeof import('./commands/add-snp-id-block'))
        .registerIgvmfilegenAddSnpIdBlock,
    'patch-corim-signature': () =>
      (require('./commands/patch-corim-signature') as typeof import('./commands/patch-corim-signature'))
        .registerIgvmfilegenPatchCorimSignature,
  },
};

/** The `igvminspect` command: the command line of the Rust tool of that name. */
export const IGVMINSPECT: ProgramDescription = {
  name: 'igvminspect',
  description: 'Tool to inspect IGVM files',
  commands: {
    dump: () => (require('./commands/dump') as typeof import('./commands/dump')).registerIgvmfilegenDump,
    extract: () => (require('./commands/extract') as typeof import('./commands/extract')).registerIgvminspectExtract,
  },
};
