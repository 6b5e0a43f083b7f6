import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { IgvmFile } from '../../igvm/model';
import type { EfiArch } from '../../loader/ovmf/secure-boot';
import { SECURE_BOOT_PROFILES, type SecureBootProfile } from '../../manifest/model';
import type { CliEnvironment } from '../cli';

interface WrapOptions {
  input?: string;
  vars?: string;
  output?: string;
  native?: boolean;
  snp?: boolean;
  params?: boolean;
  flat32?: boolean;
  meta?: boolean;
  inspect?: boolean;
}

/** `nx-igvm wrap`, with igvm-wrap's options. */
export function registerWrap(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('wrap')
    .description('make an OVMF image for QEMU, like igvm-wrap')
    .option('-i, --input <CODE>', 'the firmware: OVMF.fd, or OVMF_CODE.fd with --vars')
    .option('--vars <VARS>', 'the variable store, which is placed before the firmware')
    .option('-o, --output <IGVM>', 'the image to write; without it, everything is checked but nothing is written')
    .option('--native', 'for guests without isolation (the default)')
    .option('--no-native', 'not for guests without isolation')
    .option('--snp', 'for SEV-SNP')
    .option('--no-snp', 'not for SEV-SNP (the default)')
    .option(
      '--params',
      'the VMM fills in the memory map and the number of processors, if the firmware asks for them (the default)',
    )
    .option('--no-params', 'no parameters for the VMM')
    .addOption(new Option('--real16', 'start in real mode, like a processor (the default)').conflicts('flat32'))
    .option('--flat32', 'start in protected mode')
    .option('--meta', "print the memory areas in the firmware's metadata")
    .option('--inspect', 'print the content of the image');
  strictOptions(command).action(async (options: WrapOptions) => {
    const { input, vars, output, native = true, snp = false, params = true, flat32 = false } = options;
    if (input === undefined) {
      environment.stderr('nothing was done, because --input names no firmware\n');
      return;
    }
    const at = (path: string): string => resolve(environment.cwd, path);
    const { imageSummary, wrapFiles } =
      require('../../builder/ovmf-image') as typeof import('../../builder/ovmf-image');
    await wrapFiles({
      firmware: at(input),
      vars: vars === undefined ? undefined : at(vars),
      output: output === undefined ? undefined : at(output),
      native,
      snp,
      parameters: params,
      bootMode: flat32 ? 'flat32' : 'real16',
      showTable: options.meta ? environment.stdout : undefined,
      show: options.inspect ? (file) => environment.stdout(imageSummary(file)) : undefined,
    });
  });
}

interface UpdateOptions {
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

/** All names that igvm-update accepts. */
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

/** `nx-igvm update`, with igvm-update's options and with options for the user's own keys. */
export function registerUpdate(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('update')
    .description(
      'add a kernel or UKI, a shim and Secure Boot keys to an OVMF image, like igvm-update; or replace or remove them',
    )
    .requiredOption('-i, --input <FILE>', 'an image from wrap or igvm-wrap')
    .option('-s, --shim <SHIM>', 'the EFI program that the firmware starts first and that starts the kernel')
    .option('-k, --kernel <KERNEL>', 'an EFI program: a kernel with an EFI stub, or a UKI')
    .option('--add-hash-sha256', "Secure Boot, with the programs' Authenticode hashes in db")
    .addOption(new Option('--add-hash', 'the same').hideHelp().conflicts('addHashSha256'))
    .option('--add-cert-ms', "Secure Boot, with the profile's certificates in db")
    .addOption(
      new Option('--profile <NAME>', 'certificates for --add-cert-ms (default: uefi11)').choices(SECURE_BOOT_PROFILES),
    )
    .addOption(
      new Option('--arch <ARCH>', 'the architecture of the revocations in dbx: x64 (the default) or aa64').argParser(
        parseArch,
      ),
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
      'Secure Boot, with these certificates or hashes in db, after those of --add-cert-ms',
    )
    .option(
      '--secure-boot-dbx <FILE>',
      "Secure Boot, with these certificates or hashes in dbx (default: Microsoft's revocations)",
    )
    .addOption(
      new Option('--remove', 'remove everything that an update added; the result is the file from wrap').conflicts([
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
    .option('--inspect', 'print the content of the updated image')
    .option(
      '-o, --output <FILE>',
      'the image to write; may be the input; without it, everything is checked but nothing is written',
    );
  strictOptions(command).action(async (options: UpdateOptions) => {
    const at = (path: string): string => resolve(environment.cwd, path);
    const { imageSummary, removeFromFile, updateFiles } =
      require('../../builder/ovmf-image') as typeof import('../../builder/ovmf-image');
    const files = {
      image: at(options.input),
      output: options.output === undefined ? undefined : at(options.output),
      show: options.inspect ? (file: IgvmFile) => environment.stdout(imageSummary(file)) : undefined,
      note: (message: string) => environment.stderr(`${message}\n`),
    };
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
  if (arch === undefined) throw new InvalidArgumentError(`It must be one of ${Object.keys(ARCHES).join(', ')}.`);
  return arch;
}

/**
 * Makes a command as strict as clap, for commands with the options of a program in Rust: an option may be given only once, `--name` not
 * together with `--no-name`, and a value may not look like another option. Call this after adding all options.
 */
function strictOptions(command: Command): Command {
  const given = new Set<string>();
  for (const option of command.options) {
    const name = option.name();
    const opposite = name.startsWith('no-') ? name.slice('no-'.length) : `no-${name}`;
    command.on(`option:${name}`, (value: string | null | undefined) => {
      if (given.has(name)) command.error(`error: option '--${name}' cannot be used multiple times`);
      if (given.has(opposite)) command.error(`error: option '--${opposite}' cannot be used with option '--${name}'`);
      if (typeof value === 'string' && value.length > 1 && value.startsWith('-')) {
        command.error(`error: option '--${name}' needs a value, and '${value}' looks like an option`);
      }
      given.add(name);
    });
  }
  return command;
}
