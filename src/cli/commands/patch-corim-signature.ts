import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import type { MeasuredPlatform } from '../../igvm/isolation';
import type { CliEnvironment } from '../cli';
import { parsePlatform, PLATFORM_CHOICES } from '../options';

interface PatchOptions {
  input: string;
  output: string;
  corimBundle?: string;
  corimSignature?: string;
  platform: MeasuredPlatform;
  allowRsa2048?: boolean;
}

/** `nx-igvm patch-corim-signature`, which says who signed. */
export function registerPatchCorimSignature(program: Command, environment: CliEnvironment): void {
  register(program, environment, environment.stdout).option(
    '--allow-rsa-2048',
    'take RSA keys of 2048 bits, too; otherwise 3072 at least',
  );
}

/** `igvmfilegen patch-corim-signature`, which takes keys of 2048 bits and prints nothing, as the reference does. */
export function registerIgvmfilegenPatchCorimSignature(program: Command, environment: CliEnvironment): void {
  register(program, environment, () => undefined, true);
}

function register(
  program: Command,
  environment: CliEnvironment,
  print: (text: string) => void,
  takesRsa2048 = false,
): Command {
  return program
    .command('patch-corim-signature')
    .description("add a signature for an image's CoRIM document; checks the signature, not the certificate's chain")
    .requiredOption('-i, --input <INPUT>', 'the image')
    .requiredOption('-o, --output <OUTPUT>', 'the signed image; may be the input')
    .addOption(
      new Option('--corim-bundle <FILE>', 'a COSE_Sign1 with the document inside (PS384)').conflicts('corimSignature'),
    )
    .option('--corim-signature <FILE>', 'a detached COSE_Sign1 (PS384)')
    .requiredOption('--platform <platform>', `whose document: one of ${PLATFORM_CHOICES}`, parsePlatform)
    .action(
      async ({ input, output, corimBundle, corimSignature, platform, allowRsa2048 = takesRsa2048 }: PatchOptions) => {
        const at = (path: string): string => resolve(environment.cwd, path);
        const path = corimBundle ?? corimSignature;
        if (path === undefined) throw new IgvmError('USAGE', 'give --corim-bundle or --corim-signature');
        const { patchCorimSignature } =
          require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
        const kind = corimBundle === undefined ? 'detached' : 'bundle';
        const { signers } = await patchCorimSignature({
          input: at(input),
          output: at(output),
          platform,
          allowRsa2048,
          signature: { kind, path: at(path) },
        });
        for (const signer of signers) print(`${signer}\n`);
      },
    );
}
