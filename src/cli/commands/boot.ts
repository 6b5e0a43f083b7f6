import { resolve } from 'node:path';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import type { BootResult } from '../../boot/boot-image';
import type { GuestTables } from '../../boot/pvh-export';
import type { Accelerator, BootWay, VmmName } from '../../boot/vmm';
import { messageSink } from '../../errors/printable';
import type { CliEnvironment } from '../cli';
import { addCommandLineOption, addTablesOption, numberOption } from '../options';

interface BootOptions {
  vmm?: VmmName;
  vmmPath?: string;
  way?: BootWay;
  accel?: 'auto' | Accelerator;
  memory?: string;
  cpus?: string;
  tables?: GuestTables;
  commandLine?: string;
  until?: string;
  timeout?: string;
}

/** `nx-igvm boot IMAGE` */
export function registerBoot(program: Command, environment: CliEnvironment): void {
  const { Option } = require('commander') as typeof import('commander');
  const command = program
    .command('boot')
    .description("run an image in a VM, with the guest's serial console on stdin and stdout; Ctrl-a x ends it")
    .argument('<image>', 'the .igvm file')
    .argument('[vmm-args...]', 'after --: further arguments for the VMM')
    .showHelpAfterError('Arguments for the VMM go after --, as in: nx-igvm boot IMAGE -- -device virtio-rng-pci')
    .addOption(
      new Option('--vmm <name>', 'virtual machine monitor (default: the first that is installed)').choices([
        'qemu',
        'cloud-hypervisor',
      ]),
    )
    .option('--vmm-path <program>', 'its program, when it is not in PATH')
    .addOption(new Option('--vmmPath <program>').hideHelp())
    .addOption(
      new Option(
        '--way <name>',
        'pvh: as a kernel that is made of the image (default); igvm: the VMM loads the file itself; bios: for OVMF, where igvm is the default if the VMM can',
      ).choices(['pvh', 'igvm', 'bios']),
    )
    .addOption(
      new Option('--accel <name>', 'what runs the guest; auto is KVM where it works')
        .choices(['auto', 'kvm', 'tcg'])
        .default('auto'),
    )
    .option('--memory <size>', 'memory of the VM, as 512M or 1G (default: what the image needs, at least 512M)')
    .option('--cpus <number>', 'processors of the VM', '1');
  addCommandLineOption(addTablesOption(command))
    .option('--until <regex>', 'end when the serial output matches; exit code 1 when it never does')
    .option('--timeout <seconds>', 'end after this time in any case, with exit code 1')
    .action(async (image: string, vmmArgs: string[], { cpus, timeout, ...options }: BootOptions) => {
      const { bootImage } = require('../../boot/boot-image') as typeof import('../../boot/boot-image');
      const { LogOutput } = require('../../boot/log-output') as typeof import('../../boot/log-output');
      const console = environment.console;
      const output =
        console?.stdout.isTTY === true ? undefined : new LogOutput(console?.stdout ?? asText(environment.stdout));
      const messages = messageSink(environment.stderr, environment.isInteractive);
      const boot = async (): Promise<BootResult> => {
        try {
          return await bootImage({
            ...options,
            image: resolve(environment.cwd, image),
            cpus: numberOption('cpus', cpus),
            timeout: numberOption('timeout', timeout),
            vmmArgs,
            stdin: console?.stdin,
            stdout: output ?? console!.stdout,
            stderr: messages.add,
          });
        } finally {
          await output?.finish();
          messages.end();
        }
      };
      const { by, failure, signal } = await boot();
      if (failure !== undefined) throw failure;
      // The VM is gone; now the signal does what it would have done without one.
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
