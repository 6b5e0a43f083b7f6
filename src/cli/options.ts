import { type Command, InvalidArgumentError, Option } from 'commander';
import { IgvmError } from '../errors/igvm-error';
import { KVM_MODES } from '../manifest/model';
import { ALL_VMM_NAMES, type LaunchOptions } from '../measurement/launches';
import { MEASURED_PLATFORM_NAMES, type MeasuredPlatform } from '../igvm/isolation';

export interface LaunchFlags extends LaunchOptions {
  vmm?: string;
}

/** Adds the options that say how a guest is launched. @param vmms what --vmm means, for the help */
export const withLaunchOptions = (command: Command, vmms: string): Command =>
  command
    .addOption(new Option('--vmm <vmm>', vmms).choices([...ALL_VMM_NAMES, 'kvm']))
    .option('--vcpus <counts>', 'counts of vCPUs for the VMMs on KVM, such as 1,2,4 (default: 1)')
    .option('--cpu <models>', 'processors for QEMU: models (EPYC-Milan), signatures (0x00a00f11) or 25/1/1')
    .addOption(
      new Option(
        '--kvm-mode <mode>',
        'whose VMSAs KVM measures; bsp-only is an unfinished change of the kernel',
      ).choices(KVM_MODES),
    );

/** Options that boot and export have in common. */

export function addTablesOption(command: Command): Command {
  const { Option } = require('commander') as typeof import('commander');
  const help = "whose memory map and processor tables Linux gets; auto is the image's if it has any (default: vmm)";
  return command.addOption(new Option('--tables <whose>', help).choices(['vmm', 'auto', 'image']));
}

/** In both spellings, as Nx takes them. */
export function addCommandLineOption(command: Command): Command {
  const { Option } = require('commander') as typeof import('commander');
  return command
    .option('--command-line <text>', "replaces the image's kernel command line")
    .addOption(new Option('--commandLine <text>').hideHelp());
}

/** The platforms that the option takes, for its help. */
export const PLATFORM_CHOICES = MEASURED_PLATFORM_NAMES.join(', ');

/** Parses a `--platform` option. */
export function parsePlatform(text: string): MeasuredPlatform {
  const platform = MEASURED_PLATFORM_NAMES.find((name) => name === text);
  if (platform === undefined) throw new InvalidArgumentError(`It is one of ${PLATFORM_CHOICES}.`);
  return platform;
}

/**
 * The number that an option's text is. What it may be is for those to say who take it.
 * @throws IgvmError BOOT_OPTION when it is none
 */
export function numberOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new IgvmError('BOOT_OPTION', `${name} is "${text}", which is no number`);
  return Number(text);
}

/**
 * Makes a command as strict as clap, for commands with the options of a program in Rust: each option may be given once, `--name`
 * not together with `--no-name`, and an option's value isn't another option. Call it when all options are there.
 */
export function strictOptions(command: Command): Command {
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
