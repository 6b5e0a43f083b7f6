import { resolve } from 'node:path';
import type { Command } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { CliEnvironment } from '../cli';

/** `nx-igvm verify FILE --lock LOCK` */
export function registerVerify(program: Command, environment: CliEnvironment): void {
  program
    .command('verify')
    .description('check that an image is and measures what its lock says, and that the documents about it are its own')
    .argument('<file>', 'the image')
    .requiredOption('--lock <lock>', 'the measurement lock, igvm.lock.json beside the manifest')
    .action(async (file: string, { lock }: { lock: string }) => {
      const { mismatchText, verifyImage, verifyText } =
        require('../../lock/verify-image') as typeof import('../../lock/verify-image');
      const given = new Map([file, lock].map((path) => [resolve(environment.cwd, path), path]));
      const report = await verifyImage({
        image: resolve(environment.cwd, file),
        lock: resolve(environment.cwd, lock),
        display: (path) => given.get(path) ?? path,
      });
      const text = verifyText(report);
      environment.stdout(report.differences.length === 0 ? `${printable(file)}: ${text}\n` : `${text}\n`);
      if (report.differences.length > 0) {
        throw new IgvmError('LOCK_MISMATCH', mismatchText(report, lock), { file });
      }
    });
}
