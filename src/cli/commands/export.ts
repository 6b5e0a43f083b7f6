import { basename, extname, resolve } from 'node:path';
import type { Command } from 'commander';
import { printable } from '../../errors/printable';
import type { GuestTables } from '../../boot/pvh-export';
import { formatMemorySize } from '../../memory/page';
import type { CliEnvironment } from '../cli';
import { addCommandLineOption, addTablesOption, numberOption } from '../options';

interface ExportOptions {
  output?: string;
  tables?: GuestTables;
  commandLine?: string;
  memory?: string;
  cpus?: string;
}

/** `nx-igvm export IMAGE` */
export function registerExport(program: Command, environment: CliEnvironment): void {
  const { Option } = require('commander') as typeof import('commander');
  const command = program
    .command('export')
    .description('write an image in a form that other tools take')
    .argument('<image>', 'the .igvm file')
    .addOption(
      new Option('--format <format>', 'pvh: an ELF kernel for any VMM that boots PVH kernels')
        .choices(['pvh'])
        .default('pvh'),
    )
    .option('-o, --output <file>', 'the file to write (default: NAME.elf in the current folder)');
  addCommandLineOption(addTablesOption(command))
    .option('--memory <size>', 'memory that the VM will have, for images that leave the memory map to the VMM')
    .option('--cpus <number>', "processors that the VM will have, for the image's own tables (default: 1)")
    .action(async (image: string, options: ExportOptions) => {
      const { exportImage } = require('../../boot/pvh-export') as typeof import('../../boot/pvh-export');
      const { parseVmMemory } = require('../../boot/vmm') as typeof import('../../boot/vmm');
      const output = options.output ?? `${basename(image, extname(image))}.elf`;
      const from = resolve(environment.cwd, image);
      const to = resolve(environment.cwd, output);
      const { fileSize, entry, memoryNeeded, tables } = await exportImage(from, to, {
        tables: options.tables,
        commandLine: options.commandLine,
        memory: options.memory === undefined ? undefined : parseVmMemory(options.memory),
        cpus: numberOption('cpus', options.cpus),
      });
      const whose = tables === 'vmm' ? "the VMM's" : "the image's";
      environment.stdout(
        `${printable(output)}: ${formatMemorySize(fileSize)}, PVH entry at 0x${entry.toString(16)}, with ${whose} tables; needs ${formatMemorySize(memoryNeeded)} of memory\n`,
      );
    });
}
