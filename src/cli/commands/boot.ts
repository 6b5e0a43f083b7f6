import { basename, extname } from 'node:path';
import { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import type { Command } from 'commander';
import type { BootRequest, BootResult } from '../../boot/boot-image';
import type { GuestTables } from '../../boot/pvh-export';
import { IgvmError } from '../../errors/igvm-error';
import { messageSink, printable } from '../../errors/printable';
import { formatMemorySize } from '../../memory/page';
import { type Caller, commandLine } from '../caller';
import type { CliEnvironment } from '../cli';

/** Options that `nx-igvm boot` and `nx-igvm:boot` share. Paths are relative to the caller's folder. */
export type BootOptions = Pick<
  BootRequest,
  | 'image'
  | 'vmm'
  | 'vmmPath'
  | 'way'
  | 'accel'
  | 'memory'
  | 'cpus'
  | 'tables'
  | 'commandLine'
  | 'until'
  | 'timeout'
  | 'vmmArgs'
>;

/** The console of a guest. */
export interface GuestConsole {
  stdin?: ReadStream;
  stdout: Writable & { isTTY?: boolean };
}

/**
 * Boots an image, and returns when its guest has ended. A terminal gets the guest's output unchanged, anything else gets text
 * that is harmless in a log.
 * @param signal ends the run
 * @throws IgvmError the failure of the run, if it failed; and as bootImage does
 */
export async function boot(
  options: BootOptions,
  caller: Caller,
  { stdin, stdout }: GuestConsole,
  signal?: AbortSignal,
): Promise<BootResult> {
  const { bootImage } = require('../../boot/boot-image') as typeof import('../../boot/boot-image');
  const { LogOutput } = require('../../boot/console') as typeof import('../../boot/console');
  const log = stdout.isTTY === true ? undefined : new LogOutput(stdout);
  const messages = messageSink(caller.message, caller.isInteractive);
  try {
    const result = await bootImage({
      ...options,
      image: caller.at(options.image),
      stdin,
      stdout: log ?? stdout,
      stderr: messages.add,
      signal,
    });
    if (result.failure !== undefined) throw result.failure;
    return result;
  } finally {
    await log?.finish();
    messages.end();
  }
}

function addTablesOption(command: Command): Command {
  const help = "whose memory map and processor tables Linux gets; auto uses the image's if it has any (default: vmm)";
  return command.addOption(command.createOption('--tables <whose>', help).choices(['vmm', 'auto', 'image']));
}

/** Adds the option in both spellings, because Nx accepts both. */
const addCommandLineOption = (command: Command): Command =>
  command
    .option('--command-line <text>', "replaces the image's kernel command line")
    .addOption(command.createOption('--commandLine <text>').hideHelp());

/**
 * The number in an option. Its range is checked where it is used.
 * @throws IgvmError BOOT_OPTION for text that is not a number
 */
function numberOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new IgvmError('BOOT_OPTION', `${name} is "${text}", which is not a number`);
  return Number(text);
}

type BootFlags = Omit<BootOptions, 'image' | 'vmmArgs' | 'cpus' | 'timeout'> & { cpus?: string; timeout?: string };

/** `nx-igvm boot IMAGE` */
export function registerBoot(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('boot')
    .description("run an image in a VM, with the guest's serial console on stdin and stdout; Ctrl-a x ends the run")
    .argument('<image>', 'the .igvm file')
    .argument('[vmm-args...]', 'after --: further arguments for the VMM')
    .showHelpAfterError('Arguments for the VMM go after --, as in: nx-igvm boot IMAGE -- -device virtio-rng-pci');
  command
    .addOption(
      command
        .createOption('--vmm <name>', 'virtual machine monitor (default: the first that is installed)')
        .choices(['qemu', 'cloud-hypervisor']),
    )
    .option('--vmm-path <program>', "the VMM's program, if it is not in PATH")
    .addOption(command.createOption('--vmmPath <program>').hideHelp())
    .addOption(
      command
        .createOption(
          '--way <name>',
          'pvh: converted to a PVH kernel (default); igvm: the VMM loads the file itself; bios: for OVMF, for which igvm is the default if the VMM supports it',
        )
        .choices(['pvh', 'igvm', 'bios']),
    )
    .addOption(
      command
        .createOption('--accel <name>', 'what runs the guest; auto uses KVM if it works')
        .choices(['auto', 'kvm', 'tcg'])
        .default('auto'),
    )
    .option('--memory <size>', 'memory of the VM, such as 512M or 1G (default: what the image needs, at least 512M)')
    .option('--cpus <number>', 'number of processors of the VM', '1');
  addCommandLineOption(addTablesOption(command))
    .option('--until <regex>', 'end when the serial output matches; exit code 1 if it never does')
    .option('--timeout <seconds>', 'end after this time with exit code 1')
    .action(async (image: string, vmmArgs: string[], { cpus, timeout, ...flags }: BootFlags) => {
      const options = {
        ...flags,
        image,
        vmmArgs,
        cpus: numberOption('cpus', cpus),
        timeout: numberOption('timeout', timeout),
      };
      const console = environment.console ?? { stdout: asText(environment.stdout) };
      const { by, signal } = await boot(options, commandLine(environment), console);
      // The VM has ended. Now the signal has its usual effect.
      if (by === 'stopped' && signal !== undefined) process.kill(process.pid, signal);
    });
}

const asText = (write: (text: string) => void): Writable =>
  new Writable({
    write: (bytes: Buffer, _, done) => {
      write(bytes.toString());
      done();
    },
  });

interface ExportOptions {
  output?: string;
  tables?: GuestTables;
  commandLine?: string;
  memory?: string;
  cpus?: string;
}

/** `nx-igvm export IMAGE` */
export function registerExport(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('export')
    .description('convert an image to a format for other tools')
    .argument('<image>', 'the .igvm file');
  command
    .addOption(
      command
        .createOption('--format <format>', 'pvh: an ELF kernel for any VMM that boots PVH kernels')
        .choices(['pvh'])
        .default('pvh'),
    )
    .option('-o, --output <file>', 'the file to write (default: NAME.elf in the current folder)');
  addCommandLineOption(addTablesOption(command))
    .option('--memory <size>', 'memory of the VM, for images that leave the memory map to the VMM')
    .option('--cpus <number>', "number of processors of the VM, for the image's own tables (default: 1)")
    .action(async (image: string, options: ExportOptions) => {
      const { exportImage } = require('../../boot/pvh-export') as typeof import('../../boot/pvh-export');
      const { parseVmMemory } = require('../../boot/vmm') as typeof import('../../boot/vmm');
      const output = options.output ?? `${basename(image, extname(image))}.elf`;
      const caller = commandLine(environment);
      const { fileSize, entry, memoryNeeded, tables } = await exportImage(caller.at(image), caller.at(output), {
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
