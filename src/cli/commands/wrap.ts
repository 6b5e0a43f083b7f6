import { resolve } from 'node:path';
import type { Command } from 'commander';
import { imageSummary } from '../../builder/ovmf-image';
import type { CliEnvironment } from '../cli';
import { strictOptions } from '../options';

interface Options {
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
  const { Option } = require('commander') as typeof import('commander');
  const command = program
    .command('wrap')
    .description('put OVMF into an image for QEMU, as igvm-wrap does')
    .option('-i, --input <CODE>', 'the firmware: OVMF.fd, or OVMF_CODE.fd with --vars')
    .option('--vars <VARS>', 'its variable store, which lies in front of it')
    .option('-o, --output <IGVM>', 'the image; without it, everything is checked and nothing written')
    .option('--native', 'for guests without isolation (the default)')
    .option('--no-native', 'not for guests without isolation')
    .option('--snp', 'for SEV-SNP')
    .option('--no-snp', 'not for SEV-SNP (the default)')
    .option('--params', 'a VMM fills in memory map and processor count, where the firmware asks for them (the default)')
    .option('--no-params', 'no parameters for a VMM to fill in')
    .addOption(new Option('--real16', 'start in real mode, as a processor does (the default)').conflicts('flat32'))
    .option('--flat32', 'start in protected mode')
    .option('--meta', "print what the firmware's metadata says of memory")
    .option('--inspect', 'print what the image consists of');
  strictOptions(command).action(async (options: Options) => {
    const { input, vars, output, native = true, snp = false, params = true, flat32 = false } = options;
    if (input === undefined) {
      environment.stderr('nothing was done: --input names no firmware\n');
      return;
    }
    const at = (path: string): string => resolve(environment.cwd, path);
    const { wrapFiles } = require('../../builder/ovmf-image') as typeof import('../../builder/ovmf-image');
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
