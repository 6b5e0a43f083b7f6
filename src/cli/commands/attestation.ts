import type { Command } from 'commander';
import type { EvidenceOptions } from '../../attestation/verify-report';
import type { ReferenceFormat } from '../../attestation/reference-values';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { LaunchOptions } from '../../measurement/launches';
import { type Caller, commandLine, optionalPath } from '../caller';
import { type CliEnvironment, ExitCode } from '../cli';
import { isLaunchGiven, withLaunchOptions } from './measure';

/** Options that `nx-igvm verify-report` and `nx-igvm:verify-report` share. Paths are relative to the caller's folder. */
export interface VerifyReportOptions extends EvidenceOptions {
  report: string;
  json?: boolean;
}

/**
 * Verifies the evidence of a running guest.
 * @returns the report and the verdict
 * @throws IgvmError as verifyReportOfOptions does
 */
export async function verifyEvidence(
  { report, json = false, ...options }: VerifyReportOptions,
  caller: Caller,
): Promise<{ text: string; verdict: keyof typeof EXIT_CODES }> {
  const { evidenceJson, evidenceText, verifyReportOfOptions } =
    require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
  const result = await verifyReportOfOptions(report, options, caller);
  return { text: json ? evidenceJson(result) : evidenceText(result), verdict: result.verdict };
}

/** The exit code of each verdict. */
const EXIT_CODES = { 'not genuine': 3, 'genuine, not ours': 4, genuine: 0, ours: 0 } as const;

type VerifyReportFlags = Omit<VerifyReportOptions, 'report' | 'certificates' | 'roots' | 'crls'> & {
  certificate: string[];
  root: string[];
  crl: string[];
};

/** `nx-igvm verify-report REPORT` */
export function registerVerifyReport(program: Command, environment: CliEnvironment): void {
  const several = (value: string, before: string[]): string[] => [...before, value];
  const command = program
    .command('verify-report')
    .description('check whether the evidence of a running guest is genuine and belongs to a build')
    .argument(
      '<report>',
      'an SEV-SNP attestation report, with or without certificates, or a TDX quote: bytes or hexadecimal digits',
    )
    .option('--certificate <file>', 'a certificate of the chain, DER or PEM (may be repeated)', several, [])
    .option(
      '--root <file>',
      "a certificate to trust as a root, in addition to AMD's and Intel's (may be repeated)",
      several,
      [],
    )
    .option('--crl <file>', 'a list of revoked certificates, DER or PEM (may be repeated)', several, [])
    .option('--at <time>', 'the time at which certificates must be valid, such as 2026-03-01T12:00:00Z (default: now)')
    .option('--lock <lock>', 'the measurement lock of our guests')
    .option('--image <image>', 'the image that is ours; with --lock, it only explains differences');
  withLaunchOptions(command, 'with --image: the VMM that launches our guests (default: any)')
    .option('--report-data <hex>', 'the expected report data; fewer than 64 bytes are padded with zeros')
    .option('--nonce <hex>', 'the expected beginning of the report data, 8 to 64 bytes')
    .option('--host-data <hex>', 'the expected host data, 32 bytes')
    .option(
      '--minimum-tcb <list>',
      'the lowest accepted firmware versions, such as bootloader=4,tee=0,snp=24,microcode=219; for TDX, 16 bytes in hexadecimal',
    )
    .option('--guest-svn <number>', 'the lowest accepted security version of the guest')
    .option(
      '--vmpl <number>',
      'the privilege level (VMPL) that must have requested the report, 0 to 3 (default with --lock or --image: 0)',
    )
    .option('--id-key-digest <hex>', 'SHA-384 of the key that signed the ID block')
    .option('--author-key-digest <hex>', 'SHA-384 of the key that signed the ID key')
    .option('--event-log <file>', 'the event log (CCEL) that must give the RTMRs of the TDX quote')
    .option('--json', 'as JSON, for programs')
    .addHelpText(
      'after',
      '\nExit code: 0 if everything requested holds, 3 for evidence that is not genuine, 4 for evidence that is genuine but not ours.',
    )
    .action(async (report: string, { certificate, root, crl, ...flags }: VerifyReportFlags) => {
      const options = { ...flags, report, certificates: certificate, roots: root, crls: crl };
      const { text, verdict } = await verifyEvidence(options, commandLine(environment));
      environment.stdout(text);
      if (EXIT_CODES[verdict] !== 0) throw new ExitCode(EXIT_CODES[verdict]);
    });
}

/** Options that `nx-igvm reference-values` and `nx-igvm:reference-values` share. Paths are relative to the caller's folder. */
export interface ReferenceValuesOptions extends LaunchOptions {
  image: string;
  lock?: string;
  manifest?: string;
  signKey?: string;
  publicKey?: string;
  envelope?: 'dsse' | 'sigstore';
}

/** Settings for which the command line and a task of Nx have different sources. */
export interface ReferenceValuesSetting {
  /** Folder of the files. */
  output: string;
  /** Default: all. */
  formats?: readonly ReferenceFormat[];
  /** The words of a program that signs. */
  signCommand?: readonly string[];
  workspaceRoot?: string;
}

/**
 * Writes reference values of an image.
 * @returns paths of the files, below the output as it was given
 * @throws IgvmError USAGE, LAUNCH_INVALID, STATEMENT_SIGNING for options that don't go together; and as writeReferenceValues does
 */
export async function writeValues(
  { image, lock, manifest, signKey, publicKey, envelope, ...launch }: ReferenceValuesOptions,
  caller: Caller,
  { output, formats, signCommand, workspaceRoot }: ReferenceValuesSetting,
): Promise<string[]> {
  const { signerOf, writeReferenceValues } =
    require('../../attestation/reference-values') as typeof import('../../attestation/reference-values');
  const { launchesOfOptions } = require('../../measurement/launches') as typeof import('../../measurement/launches');
  if (isLaunchGiven(launch) && lock !== undefined)
    throw new IgvmError('USAGE', 'a lock already contains its launches, so no others can be given');
  const { files, warnings } = await writeReferenceValues({
    image: caller.at(image),
    lock: optionalPath(caller, lock),
    manifest: optionalPath(caller, manifest),
    workspaceRoot,
    launches: isLaunchGiven(launch) ? launchesOfOptions(launch) : undefined,
    output: caller.at(output),
    formats,
    signer: signerOf({ key: signKey, command: signCommand, publicKey }, caller.at),
    envelope,
    display: caller.display,
  });
  for (const warning of warnings) caller.warn(warning);
  return files.map((file) => printable(`${output}/${file}`));
}

interface ReferenceValuesFlags extends Omit<ReferenceValuesOptions, 'image'> {
  output: string;
  format: string[];
  signCommand?: string;
}

/** `nx-igvm reference-values IMAGE -o FOLDER` */
export function registerReferenceValues(program: Command, environment: CliEnvironment): void {
  const several = (value: string, before: string[]): string[] => [...before, ...value.split(',')];
  const command = program
    .command('reference-values')
    .description('write reference values for verifiers: trustee, CoRIM, go-sev-guest, in-toto')
    .argument('<image>', 'the image')
    .requiredOption('-o, --output <folder>', 'the folder for the files')
    .option('--lock <lock>', 'the measurement lock; the image has to match it, and the launches are those of the lock')
    .option('--manifest <manifest>', 'the manifest; the in-toto statement lists its files with their digests')
    .option(
      '--format <formats>',
      'a format to write: trustee, corim, go-sev-guest, in-toto (may be repeated; default: all)',
      several,
      [],
    );
  withLaunchOptions(command, 'without a lock: the VMM that launches SEV-SNP guests (default: hyperv)')
    .option('--sign-key <key>', 'sign the in-toto statement with this private key: PEM; P-256, P-384 or Ed25519')
    .option(
      '--sign-command <words>',
      'sign the statement with a program, such as the client of a KMS; {message} and {digest} are replaced by files; words end at blanks, no shell is used',
    )
    .option('--public-key <key>', 'with --sign-command: the public key or certificate, PEM or DER')
    .addOption(
      program
        .createOption('--envelope <kind>', 'the form of the signed statement')
        .choices(['dsse', 'sigstore'])
        .default('dsse'),
    )
    .action(async (image: string, { output, format, signCommand, ...options }: ReferenceValuesFlags) => {
      const { referenceFormatsOf } =
        require('../../attestation/reference-values') as typeof import('../../attestation/reference-values');
      const files = await writeValues({ ...options, image }, commandLine(environment), {
        output,
        formats: referenceFormatsOf(format),
        signCommand: signCommand?.split(/\s+/),
      });
      for (const file of files) environment.stdout(`${file}\n`);
    });
}

/** `nx-igvm explain DIGEST|REPORT IMAGE`. The exit code is 1 if the digest can't be explained. */
export function registerExplain(program: Command, environment: CliEnvironment): void {
  program
    .command('explain')
    .description('find the launch of an image, or the commits of its lock, that give a launch digest')
    .argument('<digest>', 'a launch digest in hexadecimal digits, or an SEV-SNP report or TDX quote with one')
    .argument('<image>', 'the image, or a firmware DLL with one')
    .option('--lock <lock>', 'also search this lock and its history in git')
    .option('--json', 'as JSON, for programs')
    .addHelpText(
      'after',
      '\nExit code: 0 when the digest is explained, 1 when nothing gives it.\nA report is not verified: verify-report does that.',
    )
    .action(async (digest: string, image: string, { lock, json }: { lock?: string; json?: boolean }) => {
      const { explainDigest, explanationJson, explanationText, isExplained } =
        require('../../attestation/explain') as typeof import('../../attestation/explain');
      const caller = commandLine(environment);
      const isDigest = /^(0x)?[0-9a-f]{32,}$/i.test(digest);
      const explanation = await explainDigest({
        subject: isDigest ? digest : caller.at(digest),
        image: caller.at(image),
        lock: optionalPath(caller, lock),
        display: caller.display,
      });
      environment.stdout(json === true ? explanationJson(explanation) : explanationText(explanation));
      if (!isExplained(explanation)) throw new ExitCode(1);
    });
}
