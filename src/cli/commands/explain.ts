import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type CliEnvironment, ExitCode } from '../cli';

/** `nx-igvm explain DIGEST|REPORT IMAGE`; exit code 1 when nothing gives the digest. */
export function registerExplain(program: Command, environment: CliEnvironment): void {
  program
    .command('explain')
    .description('find what gives a launch digest: which launch of an image, or which state of its lock')
    .argument('<digest>', 'a launch digest in hexadecimal digits, or an SEV-SNP report or TDX quote with one')
    .argument('<image>', 'the image, or a firmware DLL with one')
    .option('--lock <lock>', 'also look through this lock and its history in git')
    .option('--json', 'as JSON, for programs')
    .addHelpText(
      'after',
      '\nExit code: 0 when the digest is explained, 1 when nothing gives it.\nA report is not verified: verify-report does that.',
    )
    .action(async (digest: string, image: string, { lock, json }: { lock?: string; json?: boolean }) => {
      const { explainDigest, explanationJson, explanationText, isExplained } =
        require('../../attestation/explain') as typeof import('../../attestation/explain');
      const given = new Map<string, string>();
      const path = (text: string): string => {
        const absolute = resolve(environment.cwd, text);
        given.set(absolute, text);
        return absolute;
      };
      const isDigest = /^(0x)?[0-9a-f]{32,}$/i.test(digest);
      const explanation = await explainDigest({
        subject: isDigest ? digest : path(digest),
        image: path(image),
        lock: lock === undefined ? undefined : path(lock),
        display: (absolute) => given.get(absolute) ?? absolute,
      });
      environment.stdout(json === true ? explanationJson(explanation) : explanationText(explanation));
      if (!isExplained(explanation)) throw new ExitCode(1);
    });
}
