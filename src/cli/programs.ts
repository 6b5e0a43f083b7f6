import type { ProgramDescription } from './run';

/** The `nx-igvm` command. */
export const NX_IGVM: ProgramDescription = {
  name: 'nx-igvm',
  description: 'Build, inspect, measure and sign IGVM guest images',
  commands: {
    build: () => (require('./commands/build') as typeof import('./commands/build')).registerBuild,
    pack: () => (require('./commands/build') as typeof import('./commands/build')).registerPack,
    boot: () => (require('./commands/boot') as typeof import('./commands/boot')).registerBoot,
    export: () => (require('./commands/boot') as typeof import('./commands/boot')).registerExport,
    fetch: () => (require('./commands/fetch') as typeof import('./commands/fetch')).registerFetch,
    initrd: () => (require('./commands/initrd') as typeof import('./commands/initrd')).registerInitrd,
    wrap: () => (require('./commands/ovmf') as typeof import('./commands/ovmf')).registerWrap,
    update: () => (require('./commands/ovmf') as typeof import('./commands/ovmf')).registerUpdate,
    inspect: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerInspect,
    dump: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerDump,
    extract: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerExtract,
    measure: () => (require('./commands/measure') as typeof import('./commands/measure')).registerMeasure,
    lint: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerLint,
    verify: () => (require('./commands/measure') as typeof import('./commands/measure')).registerVerify,
    'verify-report': () =>
      (require('./commands/attestation') as typeof import('./commands/attestation')).registerVerifyReport,
    'reference-values': () =>
      (require('./commands/attestation') as typeof import('./commands/attestation')).registerReferenceValues,
    explain: () => (require('./commands/attestation') as typeof import('./commands/attestation')).registerExplain,
    diff: () => (require('./commands/diff') as typeof import('./commands/diff')).registerDiff,
    'dump-corim': () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerDumpCorim,
    'add-snp-id-block': () => (require('./commands/sign') as typeof import('./commands/sign')).registerAddSnpIdBlock,
    'patch-corim-signature': () =>
      (require('./commands/sign') as typeof import('./commands/sign')).registerPatchCorimSignature,
  },
};

/** The `igvmfilegen` command: the command line of the Rust tool of that name. */
export const IGVMFILEGEN: ProgramDescription = {
  name: 'igvmfilegen',
  description: 'Tool to generate IGVM files',
  commands: {
    dump: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerIgvmfilegenDump,
    'dump-corim': () =>
      (require('./commands/inspect') as typeof import('./commands/inspect')).registerIgvmfilegenDumpCorim,
    manifest: () => (require('./commands/build') as typeof import('./commands/build')).registerManifest,
    'add-snp-id-block': () =>
      (require('./commands/sign') as typeof import('./commands/sign')).registerIgvmfilegenAddSnpIdBlock,
    'patch-corim-signature': () =>
      (require('./commands/sign') as typeof import('./commands/sign')).registerIgvmfilegenPatchCorimSignature,
  },
};

/** The `igvminspect` command: the command line of the Rust tool of that name. */
export const IGVMINSPECT: ProgramDescription = {
  name: 'igvminspect',
  description: 'Tool to inspect IGVM files',
  commands: {
    dump: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerIgvmfilegenDump,
    extract: () => (require('./commands/inspect') as typeof import('./commands/inspect')).registerIgvminspectExtract,
  },
};
