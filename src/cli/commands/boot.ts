import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { GuestTables } from '../../boot/pvh-export';
import type { Accelerator, VmmName } from '../../boot/vmm';
import type { CliEnvironment } from '../cli';
import { numberOption } from '../number-option';
import { addTablesOption } from './tables-option';

interface BootOptions {
  vmm?: VmmName;
  vmmPath?: string;
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
    .description("run an image in a VM, with the guest's serial console on stdout")
    .argument('<image>', 'the .igvm file')
    .argument('[vmm-args...]', 'behind --: further arguments for the VMM')
    .addOption(
      new Option('--vmm <name>', 'virtual machine monitor (default: the first that is installed)').choices([
        'qemu',
        'cloud-hypervisor',
      ]),
    )
    .option('--vmm-path, --vmmPath <program>', 'its program, when it is not in PATH')
    .addOption(
      new Option('--accel <name>', 'what runs the guest; auto is KVM where it works')
        .choices(['auto', 'kvm', 'tcg'])
        .default('auto'),
    )
    .option('--memory <size>', 'memory of the VM, as 512M or 1G (default: what the image needs, at least 512M)')
    .option('--cpus <number>', 'processors of the VM', '1');
  addTablesOption(command)
    .option('--command-line, --commandLine <text>', "replaces the image's kernel command line")
    .option('--until <regex>', 'end when the serial output matches; exit code 1 when it never does')
    .option('--timeout <seconds>', 'end after this time in any case, with exit code 1')
    .action(async (image: string, vmmArgs: string[], { cpus, timeout, ...options }: BootOptions) => {
      const { bootImage } = require('../../boot/boot-image') as typeof import('../../boot/boot-image');
      const { by, failure, signal } = await bootImage({
        ...options,
        image: resolve(environment.cwd, image),
        label: image,
        cpus: numberOption('cpus', cpus),
        timeout: numberOption('timeout', timeout),
        vmmArgs,
        stdout: environment.stdout,
        stderr: environment.stderr,
      });
      if (failure !== undefined) throw failure;
      // The VM is gone; now the signal does what it would have done without one.
      if (by === 'stopped' && signal !== undefined) process.kill(process.pid, signal);
    });
}
