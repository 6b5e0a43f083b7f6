/** Options that boot and export have in common. */
import type { Command } from 'commander';

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
