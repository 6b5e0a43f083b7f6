import type { Command } from 'commander';

/** `--tables`, which boot and export have in common. */
export function addTablesOption(command: Command): Command {
  const { Option } = require('commander') as typeof import('commander');
  const help = "whose memory map and processor tables Linux gets; auto is the image's if it has any (default: vmm)";
  return command.addOption(new Option('--tables <whose>', help).choices(['vmm', 'auto', 'image']));
}
