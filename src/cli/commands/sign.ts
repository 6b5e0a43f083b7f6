import type { Command } from 'commander';
import type { SignatureOptions } from '../../endorsement/corim-signature';
import type { CorimSignatureSource, SnpIdBlockSource } from '../../endorsement/sign-image';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { MeasuredPlatform } from '../../igvm/platforms';
import { type Caller, commandLine, optionalPath } from '../caller';
import type { CliEnvironment } from '../cli';
import { platformOption } from './measure';

/** Options for an SNP ID block. Paths are relative to the caller's folder. */
export interface IdBlockOptions {
  idBlock?: string;
  idSignature?: string;
  idPublicKey?: string;
  temporaryKey?: boolean;
  manifest?: string;
  guestSvn?: number;
}

/** Options for the signature of a CoRIM document. Paths are relative to the caller's folder. */
export interface CorimOptions {
  corimBundle?: string;
  corimSignature?: string;
  platform?: MeasuredPlatform;
  allowRsa2048?: boolean;
}

/** Options of `nx-igvm:sign`. */
export interface SignOptions extends IdBlockOptions, CorimOptions {
  image: string;
  outputPath?: string;
}

const refusal = (message: string): IgvmError => new IgvmError('SIGN_OPTION', message);

/**
 * The source of the ID block that options describe.
 * @returns undefined when they describe none
 * @throws IgvmError SIGN_OPTION for options that don't go together
 */
function idBlockSource(options: IdBlockOptions, { at, nameOf }: Caller): SnpIdBlockSource | undefined {
  const { idBlock, idSignature, idPublicKey, temporaryKey = false, manifest, guestSvn } = options;
  if ([idBlock, idSignature, idPublicKey].some((path) => path !== undefined)) {
    if (temporaryKey) {
      throw refusal(`${nameOf('temporaryKey')} and a signed ID block can't be used together`);
    }
    if (idBlock === undefined || idSignature === undefined || idPublicKey === undefined) {
      throw refusal(
        `${nameOf('idBlock')}, ${nameOf('idSignature')} and ${nameOf('idPublicKey')} have to be given together`,
      );
    }
    return { kind: 'outOfBand', idBlock: at(idBlock), signature: at(idSignature), publicKey: at(idPublicKey) };
  }
  if (!temporaryKey) return undefined;
  if (guestSvn === undefined) {
    if (manifest === undefined) {
      throw refusal(`${nameOf('temporaryKey')} needs ${nameOf('manifest')} or ${nameOf('guestSvn')}`);
    }
    return { kind: 'manifest', path: at(manifest) };
  }
  if (!Number.isInteger(guestSvn) || guestSvn < 0 || guestSvn >= 2 ** 32) {
    throw refusal(`${nameOf('guestSvn')} must be a whole number below 2^32`);
  }
  return { kind: 'guestSvn', guestSvn };
}

/**
 * The signature of a CoRIM document that options describe.
 * @returns undefined when they describe none
 * @throws IgvmError SIGN_OPTION for options that don't go together
 */
function corimSource(
  { corimBundle, corimSignature, platform, allowRsa2048 }: CorimOptions,
  { at, nameOf }: Caller,
): (CorimSignatureSource & SignatureOptions) | undefined {
  const path = corimBundle ?? corimSignature;
  if (path === undefined) return undefined;
  if (corimBundle !== undefined && corimSignature !== undefined) {
    throw refusal(`${nameOf('corimBundle')} and ${nameOf('corimSignature')} can't be used together`);
  }
  if (platform === undefined) throw refusal(`a CoRIM signature needs ${nameOf('platform')}`);
  const kind = corimBundle === undefined ? 'detached' : 'bundle';
  return { platform, allowRsa2048, signature: { kind, path: at(path) } };
}

/**
 * Writes a signed copy of an image, and reports who signed.
 * @param command the command that signs with a temporary key, without its options
 * @throws IgvmError SIGN_OPTION for options that don't go together; and as signImage does
 */
export async function sign(options: SignOptions, caller: Caller, command: string): Promise<void> {
  const { signedPath, signImage } =
    require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
  const { image, manifest, outputPath = signedPath(image) } = options;
  const [input, output] = [caller.at(image), caller.at(outputPath)];
  const idBlock = idBlockSource(options, caller);
  const corim = corimSource(options, caller);
  if (idBlock === undefined && corim === undefined) throw nothingToSignWith(options, command);
  if (output === input)
    throw new IgvmError('SIGN_OPTION', 'the signed image would replace the image', { file: outputPath });
  const { signers } = await signImage({ input, output, idBlock, corim, manifest: optionalPath(caller, manifest) });
  if (idBlock !== undefined && idBlock.kind !== 'outOfBand') {
    caller.warn('the ID block is signed with a temporary key: for development only');
  }
  caller.info([`${printable(outputPath)}: signed`, ...signers.map((each) => `  ${each}`)].join('\n'));
}

/** The error for missing options, which names the image's own files. */
function nothingToSignWith({ image, manifest }: SignOptions, command: string): IgvmError {
  const temporary = `${command} --temporaryKey${manifest === undefined ? ' --guestSvn=NUMBER' : ''}`;
  const idBlock = printable(image.replace(/\.igvm$/, '-snp.idblock'));
  return refusal(
    `there is nothing to sign with. For development: ${temporary}; with a key of your own, sign ${idBlock}`,
  );
}

interface InputAndOutput {
  input: string;
  output: string;
}

/** `nx-igvm add-snp-id-block`, which prints the signer. */
export const registerAddSnpIdBlock = (program: Command, environment: CliEnvironment): void =>
  registerIdBlock(program, environment, environment.stdout);

/** `igvmfilegen add-snp-id-block`, which prints nothing, like the original. */
export const registerIgvmfilegenAddSnpIdBlock = (program: Command, environment: CliEnvironment): void =>
  registerIdBlock(program, environment, () => undefined);

const OUT_OF_BAND = ['idBlock', 'idSignature', 'idPublicKey'];

function registerIdBlock(program: Command, environment: CliEnvironment, print: (text: string) => void): void {
  const command = program
    .command('add-snp-id-block')
    .description('add a signed SEV-SNP ID block to an image')
    .requiredOption('-i, --input <INPUT>', 'the image')
    .requiredOption('-o, --output <OUTPUT>', 'the image with the ID block; may be the input');
  command
    .addOption(
      command
        .createOption(
          '--guest-svn <N>',
          'sign with a temporary key, with this security version and the OpenHCL identity',
        )
        .conflicts(['manifest', ...OUT_OF_BAND]),
    )
    .addOption(
      command
        .createOption('--manifest <FILE>', "sign with a temporary key, for the manifest's SNP guest")
        .conflicts(OUT_OF_BAND),
    )
    .option('--id-block <FILE>', 'the .idblock file of the build that was signed')
    .option('--id-signature <FILE>', 'the ECDSA P-384 signature of the ID block over SHA-384, DER')
    .option('--id-public-key <FILE>', "the signer's certificate or public key, PEM or DER")
    .action(async ({ input, output, guestSvn, ...options }: InputAndOutput & IdBlockFlags) => {
      const { addSnpIdBlock } =
        require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
      const caller = commandLine(environment);
      const temporaryKey = guestSvn !== undefined || options.manifest !== undefined;
      const given = { ...options, temporaryKey, guestSvn: guestSvn === undefined ? undefined : wholeNumber(guestSvn) };
      const source = idBlockSource(given, caller);
      if (source === undefined) {
        throw new IgvmError(
          'USAGE',
          'give --id-block, --id-signature and --id-public-key together, or --guest-svn or --manifest for a temporary key',
        );
      }
      const { signers } = await addSnpIdBlock({ input: caller.at(input), output: caller.at(output), source });
      for (const signer of signers) print(`${signer}\n`);
    });
}

type IdBlockFlags = Omit<IdBlockOptions, 'guestSvn' | 'temporaryKey'> & { guestSvn?: string };

const wholeNumber = (text: string): number => (/^\d+$/.test(text) ? Number(text) : Number.NaN);

/** `nx-igvm patch-corim-signature`, which prints the signer. */
export function registerPatchCorimSignature(program: Command, environment: CliEnvironment): void {
  registerCorim(program, environment, environment.stdout).option(
    '--allow-rsa-2048',
    'accept RSA keys of 2048 bits; otherwise, at least 3072 are needed',
  );
}

/** `igvmfilegen patch-corim-signature`, which accepts keys of 2048 bits and prints nothing, like the original. */
export function registerIgvmfilegenPatchCorimSignature(program: Command, environment: CliEnvironment): void {
  registerCorim(program, environment, () => undefined, true);
}

function registerCorim(
  program: Command,
  environment: CliEnvironment,
  print: (text: string) => void,
  allowRsa2048 = false,
): Command {
  const command = program
    .command('patch-corim-signature')
    .description(
      "add a signature for an image's CoRIM document; the signature is checked, but not the certificate's chain",
    )
    .requiredOption('-i, --input <INPUT>', 'the image')
    .requiredOption('-o, --output <OUTPUT>', 'the signed image; may be the input');
  return command
    .addOption(
      command
        .createOption('--corim-bundle <FILE>', 'a COSE_Sign1 (PS384) that contains the document')
        .conflicts('corimSignature'),
    )
    .option('--corim-signature <FILE>', 'a detached COSE_Sign1 (PS384)')
    .addOption(platformOption(command, 'the platform of the document').makeOptionMandatory())
    .action(async ({ input, output, ...options }: InputAndOutput & CorimOptions) => {
      const { patchCorimSignature } =
        require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
      const caller = commandLine(environment);
      const source = corimSource({ allowRsa2048, ...options }, caller);
      if (source === undefined) throw new IgvmError('USAGE', 'give --corim-bundle or --corim-signature');
      const { signers } = await patchCorimSignature({ input: caller.at(input), output: caller.at(output), ...source });
      for (const signer of signers) print(`${signer}\n`);
    });
}
