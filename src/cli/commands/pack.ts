import { resolve } from 'node:path';
import type { Command } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import { shownPath } from '../../files/file-failure';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE, readMemorySize } from '../../memory/page';
import type { CliEnvironment } from '../cli';

interface PackOptions {
  initrd?: string;
  commandLine?: string;
  memory: string;
  cpus?: string;
  private?: boolean;
  output: string;
}

/** `nx-igvm pack KERNEL` */
export function registerPack(program: Command, environment: CliEnvironment): void {
  program
    .command('pack')
    .description('make an image of a Linux kernel, without a manifest')
    .argument('<kernel>', 'an x64 kernel: bzImage, vmlinux or a UKI')
    .option('-i, --initrd <file>', 'its initramfs (default: that of a UKI)')
    .option('-c, --command-line <text>', 'its command line (default: that of a UKI, else "console=ttyS0 panic=-1")')
    .option('-m, --memory <size>', "the guest's memory, up to 2G", '512M')
    .option('--cpus <count>', 'the most processors that the guest will have (default: the VMM tells)')
    .option('--private', 'let nobody but its owner read the image (mode 0600)')
    .option('-o, --output <file>', 'the image to write', 'guest.igvm')
    .action(async (kernel: string, options: PackOptions) => {
      const { packKernel } = require('../../builder/pack-kernel') as typeof import('../../builder/pack-kernel');
      const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
      const file = (path: string): { path: string; display: string } => ({
        path: resolve(environment.cwd, path),
        display: path,
      });
      const report = await packKernel({
        kernel: file(kernel),
        initrd: options.initrd === undefined ? undefined : file(options.initrd),
        commandLine: options.commandLine,
        memory: memory(options.memory),
        processorCount: options.cpus === undefined ? undefined : count(options.cpus),
        private: options.private,
        output: resolve(environment.cwd, options.output),
      });
      const { verbose } = program.opts<{ verbose?: boolean }>();
      environment.stdout(reportText(report, (path) => shownPath(environment.cwd, path), { verbose }));
    });
}

function memory(text: string): number {
  const bytes = readMemorySize(text);
  if (bytes === undefined || bytes % PAGE_SIZE !== 0) {
    const meant = /^\d+$/.test(text) ? `: write ${text}M for MiB` : '';
    refuse('--memory', text, `a size like 512M or 1G, in whole pages${meant}`);
  }
  if (bytes > COMMON_MEMORY_LIMIT) refuse('--memory', text, 'a size up to 2G, as such an image describes no more');
  return bytes;
}

/** As many as an MP table holds: `processor_count` of a manifest. */
const MOST_PROCESSORS = 254;

const count = (text: string): number =>
  /^[1-9]\d{0,2}$/.test(text) && Number(text) <= MOST_PROCESSORS
    ? Number(text)
    : refuse('--cpus', text, `a number of processors from 1 to ${MOST_PROCESSORS}`);

function refuse(option: string, value: string, wanted: string): never {
  throw new IgvmError('USAGE', `${option} is "${value}", not ${wanted}`);
}
