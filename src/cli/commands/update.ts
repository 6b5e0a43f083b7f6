import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { imageSummary } from '../../builder/ovmf-image';
import type { IgvmFile } from '../../igvm/model';
import type { EfiArch } from '../../loader/ovmf/secure-boot';
import { SECURE_BOOT_PROFILES, type SecureBootProfile } from '../../manifest/model';
import type { CliEnvironment } from '../cli';
import { strictOptions } from '../options';

interface Options {
  input: string;
  shim?: string;
  kernel?: string;
  addHashSha256?: boolean;
  addHash?: boolean;
  addCertMs?: boolean;
  profile?: SecureBootProfile;
  arch?: EfiArch;
  secureBootPk?: string;
  secureBootKek?: string;
  secureBootDb?: string;
  secureBootDbx?: string;
  remove?: boolean;
  inspect?: boolean;
  output?: string;
}

/** Every name that igvm-update knows. */
const ARCHES: Readonly<Record<string, EfiArch>> = {
  x64: 'x64',
  X64: 'x64',
  x86_64: 'x64',
  amd64: 'x64',
  aa64: 'aa64',
  AA64: 'aa64',
  aarch64: 'aa64',
  arm64: 'aa64',
};

/** `nx-igvm update`, with igvm-update's options, and keys of one's own. */
export function registerUpdate(program: Command, environment: CliEnvironment): void {
  const { Option } = require('commander') as typeof import('commander');
  const command = program
    .command('update')
    .description(
      'put a kernel or UKI, a shim and Secure Boot keys into an image of OVMF, as igvm-update does, or replace or remove them',
    )
    .requiredOption('-i, --input <FILE>', 'an image that wrap or igvm-wrap made')
    .option('-s, --shim <SHIM>', 'the EFI program that the firmware starts, which starts the kernel')
    .option('-k, --kernel <KERNEL>', 'an EFI program: a kernel with an EFI stub, or a UKI')
    .option('--add-hash-sha256', "Secure Boot, with the programs' Authenticode hashes in db")
    .addOption(new Option('--add-hash', 'the same').hideHelp().conflicts('addHashSha256'))
    .option('--add-cert-ms', "Secure Boot, with the profile's certificates in db")
    .addOption(
      new Option('--profile <NAME>', 'certificates for --add-cert-ms (default: uefi11)').choices(SECURE_BOOT_PROFILES),
    )
    .addOption(
      new Option('--arch <ARCH>', 'whose revocations are in dbx: x64 (the default) or aa64').argParser(parseArch),
    )
    .option(
      '--secure-boot-pk <FILE>',
      "Secure Boot, with this platform key: a certificate (PEM, DER), .esl or .auth (default: Red Hat's)",
    )
    .option(
      '--secure-boot-kek <FILE>',
      "Secure Boot, with these key exchange keys: certificates, .esl or .auth (default: Microsoft's)",
    )
    .option(
      '--secure-boot-db <FILE>',
      'Secure Boot, with these certificates or hashes in db, behind those of --add-cert-ms',
    )
    .option(
      '--secure-boot-dbx <FILE>',
      "Secure Boot, with these certificates or hashes in dbx (default: Microsoft's revocations)",
    )
    .addOption(
      new Option('--remove', 'take out what an update put in: gives back what wrap made').conflicts([
        'shim',
        'kernel',
        'addHashSha256',
        'addHash',
        'addCertMs',
        'profile',
        'arch',
        'secureBootPk',
        'secureBootKek',
        'secureBootDb',
        'secureBootDbx',
      ]),
    )
    .option('--inspect', 'print what the updated image consists of')
    .option(
      '-o, --output <FILE>',
      'the image; may be the input; without it, everything is checked and nothing written',
    );
  strictOptions(command).action(async (options: Options) => {
    const at = (path: string): string => resolve(environment.cwd, path);
    const files = {
      image: at(options.input),
      output: options.output === undefined ? undefined : at(options.output),
      show: options.inspect ? (file: IgvmFile) => environment.stdout(imageSummary(file)) : undefined,
      note: (message: string) => environment.stderr(`${message}\n`),
    };
    const { removeFromFile, updateFiles } =
      require('../../builder/ovmf-image') as typeof import('../../builder/ovmf-image');
    if (options.remove) return removeFromFile(files);
    const { secureBootPk: pk, secureBootKek: kek, secureBootDb: db, secureBootDbx: dbx } = options;
    const keys = Object.entries({ pk, kek, db, dbx }).filter(([, path]) => path !== undefined);
    await updateFiles({
      ...files,
      keys: Object.fromEntries(keys.map(([variable, path]) => [variable, at(path!)])),
      shim: options.shim === undefined ? undefined : at(options.shim),
      kernel: options.kernel === undefined ? undefined : at(options.kernel),
      addHashes: options.addHashSha256 === true || options.addHash === true,
      profile: options.addCertMs ? (options.profile ?? 'uefi11') : undefined,
      arch: options.arch ?? 'x64',
    });
  });
}

function parseArch(name: string): EfiArch {
  const arch = Object.hasOwn(ARCHES, name) ? ARCHES[name] : undefined;
  if (arch === undefined) throw new InvalidArgumentError(`It is one of ${Object.keys(ARCHES).join(', ')}.`);
  return arch;
}
