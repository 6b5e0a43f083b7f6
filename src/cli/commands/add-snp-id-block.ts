import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import type { SnpIdBlockSource } from '../../endorsement/sign-image';
import type { CliEnvironment } from '../cli';

interface AddOptions {
  input: string;
  output: string;
  guestSvn?: number;
  manifest?: string;
  idBlock?: string;
  idSignature?: string;
  idPublicKey?: string;
}

const OUT_OF_BAND = ['idBlock', 'idSignature', 'idPublicKey'];

/** `nx-igvm add-snp-id-block`, which says who signed. */
export const registerAddSnpIdBlock = (program: Command, environment: CliEnvironment): void =>
  register(program, environment, environment.stdout);

/** `igvmfilegen add-snp-id-block`, which prints nothing, as the reference does. */
export const registerIgvmfilegenAddSnpIdBlock = (program: Command, environment: CliEnvironment): void =>
  register(program, environment, () => undefined);

function register(program: Command, environment: CliEnvironment, print: (text: string) => void): void {
  program
    .command('add-snp-id-block')
    .description('add a signed SEV-SNP ID block to an image')
    .requiredOption('-i, --input <INPUT>', 'the image')
    .requiredOption('-o, --output <OUTPUT>', 'the image with the ID block; may be the input')
    .addOption(
      new Option('--guest-svn <N>', 'sign with a temporary key, with this security version and the OpenHCL identity')
        .argParser(parseU32)
        .conflicts(['manifest', ...OUT_OF_BAND]),
    )
    .addOption(
      new Option('--manifest <FILE>', "sign with a temporary key, for the manifest's SNP guest").conflicts(OUT_OF_BAND),
    )
    .option('--id-block <FILE>', 'the .idblock file of the build, which someone has signed')
    .option('--id-signature <FILE>', 'its ECDSA P-384 signature over SHA-384, DER')
    .option('--id-public-key <FILE>', "the signer's certificate or public key, PEM or DER")
    .action(async ({ input, output, ...options }: AddOptions) => {
      const at = (path: string): string => resolve(environment.cwd, path);
      const { addSnpIdBlock } =
        require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
      const { signers } = await addSnpIdBlock({ input: at(input), output: at(output), source: sourceOf(options, at) });
      for (const signer of signers) print(`${signer}\n`);
    });
}

function sourceOf(
  { guestSvn, manifest, idBlock, idSignature, idPublicKey }: Omit<AddOptions, 'input' | 'output'>,
  at: (path: string) => string,
): SnpIdBlockSource {
  if (guestSvn !== undefined) return { kind: 'guestSvn', guestSvn };
  if (manifest !== undefined) return { kind: 'manifest', path: at(manifest) };
  if (idBlock === undefined || idSignature === undefined || idPublicKey === undefined) {
    throw new IgvmError(
      'USAGE',
      'give --id-block, --id-signature and --id-public-key together, or --guest-svn or --manifest for a temporary key',
    );
  }
  return { kind: 'outOfBand', idBlock: at(idBlock), signature: at(idSignature), publicKey: at(idPublicKey) };
}

function parseU32(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value >= 2 ** 32) throw new InvalidArgumentError('It is a number below 2^32.');
  return value;
}
