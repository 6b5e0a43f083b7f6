import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import type { MeasuredPlatform } from '../../measurement/measured-platform';
import type { CliEnvironment } from '../cli';
import { parsePlatform, PLATFORM_CHOICES } from './platform-option';

interface PatchOptions {
  input: string;
  output: string;
  corimBundle?: string;
  corimSignature?: string;
  platform: MeasuredPlatform;
}

/** `patch-corim-signature`, the same in both programs. */
export function registerPatchCorimSignature(program: Command, environment: CliEnvironment): void {
  program
    .command('patch-corim-signature')
    .description("add a signature for an image's CoRIM document; checks the signature, not the certificate's chain")
    .requiredOption('-i, --input <INPUT>', 'the image')
    .requiredOption('-o, --output <OUTPUT>', 'the signed image; may be the input')
    .addOption(
      new Option('--corim-bundle <FILE>', 'a COSE_Sign1 with the document inside (PS384)').conflicts('corimSignature'),
    )
    .option('--corim-signature <FILE>', 'a detached COSE_Sign1 (PS384)')
    .requiredOption('--platform <platform>', `whose document: one of ${PLATFORM_CHOICES}`, parsePlatform)
    .action(async ({ input, output, corimBundle, corimSignature, platform }: PatchOptions) => {
      const at = (path: string): string => resolve(environment.cwd, path);
      const path = corimBundle ?? corimSignature;
      if (path === undefined) throw new IgvmError('USAGE', 'give --corim-bundle or --corim-signature');
      const { patchCorimSignature } =
        require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
      const kind = corimBundle === undefined ? 'detached' : 'bundle';
      await patchCorimSignature({
        input: at(input),
        output: at(output),
        platform,
        signature: { kind, path: at(path) },
      });
    });
}
