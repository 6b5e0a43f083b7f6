import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { CliEnvironment } from '../cli';
import { printable } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { type LaunchFlags, withLaunchOptions } from '../options';

interface ReferenceValuesFlags extends LaunchFlags {
  output: string;
  lock?: string;
  manifest?: string;
  format: string[];
  signKey?: string;
  signCommand?: string;
  publicKey?: string;
  envelope: 'dsse' | 'sigstore';
}

/** `nx-igvm reference-values IMAGE -o FOLDER` */
export function registerReferenceValues(program: Command, environment: CliEnvironment): void {
  const several = (value: string, before: string[]): string[] => [...before, ...value.split(',')];
  const command = program
    .command('reference-values')
    .description('write what verifiers compare evidence with: trustee, CoRIM, go-sev-guest, in-toto')
    .argument('<image>', 'the image')
    .requiredOption('-o, --output <folder>', 'where the files go')
    .option('--lock <lock>', 'the measurement lock: the image has to be what it says, and its launches count')
    .option('--manifest <manifest>', 'the manifest, whose files the in-toto statement names with their digests')
    .option('--format <formats>', 'only these: trustee, corim, go-sev-guest, in-toto (may be repeated)', several, []);
  withLaunchOptions(command, 'without a lock: the launches that count (default: hyperv)')
    .option('--sign-key <key>', 'sign the in-toto statement with this private key: PEM, of P-256, P-384 or Ed25519')
    .option(
      '--sign-command <words>',
      'sign it with a program, such as that of a KMS; {message} and {digest} become files. Words end at blanks, there is no shell',
    )
    .option('--public-key <key>', 'with --sign-command: its public key or certificate, PEM or DER')
    .addOption(
      new Option('--envelope <kind>', 'what the signed statement is written as')
        .choices(['dsse', 'sigstore'])
        .default('dsse'),
    )
    .action(async (image: string, flags: ReferenceValuesFlags) => {
      const { referenceFormatsOf, signerOf, writeReferenceValues } =
        require('../../attestation/reference-values') as typeof import('../../attestation/reference-values');
      const { launchesOfOptions } =
        require('../../measurement/launches') as typeof import('../../measurement/launches');
      const given = new Map<string, string>();
      const path = (text: string): string => {
        const absolute = resolve(environment.cwd, text);
        given.set(absolute, text);
        return absolute;
      };
      const { vmm, vcpus, cpu, kvmMode, lock, manifest, output, envelope, signKey, signCommand, publicKey } = flags;
      const isLaunchGiven = [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);
      if (isLaunchGiven && lock !== undefined) throw new IgvmError('USAGE', 'the lock says which launches count');
      const { files, warnings } = await writeReferenceValues({
        image: path(image),
        lock: lock === undefined ? undefined : path(lock),
        manifest: manifest === undefined ? undefined : path(manifest),
        launches: isLaunchGiven ? launchesOfOptions({ vmm, vcpus, cpu, kvmMode }) : undefined,
        output: path(output),
        formats: referenceFormatsOf(flags.format),
        signer: signerOf({ key: signKey, command: signCommand?.split(/\s+/), publicKey }, path),
        envelope,
        display: (absolute) => given.get(absolute) ?? absolute,
      });
      for (const warning of warnings) environment.stderr(`warning: ${warning}\n`);
      for (const file of files) environment.stdout(`${printable(`${output}/${file}`)}\n`);
    });
}
