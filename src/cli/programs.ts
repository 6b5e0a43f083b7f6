import type { Command } from 'commander';
import type { ErrorCode } from '../errors/codes';
import { IgvmError } from '../errors/igvm-error';
import { shownPath } from '../files/file-failure';
import { type CliEnvironment, ExitCode } from './cli';

/** The exit code of clap, igvmfilegen's argument parser, for an invalid command line. */
const USAGE_EXIT_CODE = 2;

/** Errors that concern only the command line. */
const USAGE_CODES: ReadonlySet<ErrorCode> = new Set(['USAGE', 'BOOT_OPTION', 'SIGN_OPTION']);

/** Evidence that can't be read proves nothing, like evidence that is not genuine (commands/attestation.ts). */
const NOT_GENUINE_CODES: ReadonlySet<ErrorCode> = new Set(['EVIDENCE_INVALID', 'CERTIFICATE_INVALID']);
const NOT_GENUINE_EXIT_CODE = 3;

/** Adds one subcommand to a program. Modules of commands are light: they load the code that does the work when it is called. */
export type RegisterCommand = (program: Command, environment: CliEnvironment) => void;

export interface ProgramDescription {
  name: string;
  description: string;
  /** Loads a command by its name. Only the called command is loaded. */
  commands: Readonly<Record<string, () => RegisterCommand>>;
}

/** The package's version, from its package.json. */
export const packageVersion = (): string => (require('../../package.json') as { version: string }).version;

/**
 * Runs a command line. A user's mistake is reported in one sentence with its place. A bug shows its stack trace with `--verbose`.
 * @param args the arguments after node and the script
 * @returns the exit code: 0, 1 for a failure, 2 for an invalid command line, 3 for evidence that can't be read
 */
export async function run(
  { name, description, commands }: ProgramDescription,
  args: readonly string[],
  environment: CliEnvironment,
): Promise<number> {
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
    environment.stdout(`${name} ${packageVersion()}\n`);
    return 0;
  }
  const { Command, CommanderError } = require('commander') as typeof import('commander');
  const program = new Command(name)
    .description(description)
    .version(`${name} ${packageVersion()}`)
    .option('--verbose', 'show details of builds, and stack traces')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: environment.stdout, writeErr: environment.stderr });
  const called = args[0] !== undefined && Object.hasOwn(commands, args[0]) ? commands[args[0]] : undefined;
  // Help, and the suggestion for a misspelt command, need all commands.
  for (const load of called === undefined ? Object.values(commands) : [called]) load()(program, environment);
  try {
    await program.parseAsync(withoutEqualsSigns(args), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof ExitCode) return error.code;
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
    environment.stderr(`${describe(error, environment.cwd, program.opts<{ verbose?: boolean }>().verbose === true)}\n`);
    if (!(error instanceof IgvmError)) return 1;
    if (USAGE_CODES.has(error.code)) return USAGE_EXIT_CODE;
    return NOT_GENUINE_CODES.has(error.code) ? NOT_GENUINE_EXIT_CODE : 1;
  }
}

/** Rewrites `-o=FILE` as `-oFILE`. clap accepts both, commander only the latter. */
function withoutEqualsSigns(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, index) => (end === -1 || index < end ? arg.replace(/^(-[a-z])=/, '$1') : arg));
}

function describe(error: unknown, cwd: string, verbose: boolean): string {
  if (error instanceof IgvmError) return `error: ${error.format((file) => shownPath(cwd, file))}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (verbose) return `internal error: ${stack}`;
  const message = error instanceof Error ? error.message : String(error);
  return `internal error: ${message}\n  This should not happen. Please report it with the output of --verbose.`;
}

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
