import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type CliEnvironment, ExitCode } from '../cli';
import { type LaunchFlags, withLaunchOptions } from '../options';

interface VerifyReportFlags extends LaunchFlags {
  certificate: string[];
  root: string[];
  crl: string[];
  at?: string;
  lock?: string;
  image?: string;
  reportData?: string;
  nonce?: string;
  hostData?: string;
  minimumTcb?: string;
  guestSvn?: string;
  vmpl?: string;
  idKeyDigest?: string;
  authorKeyDigest?: string;
  eventLog?: string;
  json?: boolean;
}

const EXIT_CODES = { 'not genuine': 3, 'genuine, not ours': 4, genuine: 0, ours: 0 } as const;

/** `nx-igvm verify-report REPORT` */
export function registerVerifyReport(program: Command, environment: CliEnvironment): void {
  const several = (value: string, before: string[]): string[] => [...before, value];
  const command = program
    .command('verify-report')
    .description("check the evidence of a running guest: is it genuine, and is it of a build's guest")
    .argument(
      '<report>',
      'an SEV-SNP attestation report, with certificates or without, or a TDX quote: bytes or hexadecimal digits',
    )
    .option('--certificate <file>', 'a certificate of the chain, DER or PEM (may be repeated)', several, [])
    .option(
      '--root <file>',
      'a certificate that is trusted as a root besides those of the makers (may be repeated)',
      several,
      [],
    )
    .option('--crl <file>', 'a list of revoked certificates, DER or PEM (may be repeated)', several, [])
    .option('--at <time>', 'when certificates have to be valid, such as 2026-03-01T12:00:00Z (default: now)')
    .option('--lock <lock>', 'the measurement lock that says which guests are ours')
    .option('--image <image>', 'the image that is ours; with --lock: to explain what differs');
  withLaunchOptions(command, 'with --image: the VMM whose launch is ours (default: any)')
    .option('--report-data <hex>', 'the report data that is expected; fewer than 64 bytes are filled with zeros')
    .option('--nonce <hex>', 'what the report data has to begin with, 8 to 64 bytes')
    .option('--host-data <hex>', 'the host data that is expected, 32 bytes')
    .option(
      '--minimum-tcb <list>',
      'lowest versions of firmware, such as bootloader=4,tee=0,snp=24,microcode=219; of TDX 16 bytes in hexadecimal',
    )
    .option('--guest-svn <number>', 'the lowest security version of the guest')
    .option('--vmpl <number>', 'who has to have asked for the report, 0 to 3 (default with --lock or --image: 0)')
    .option('--id-key-digest <hex>', 'SHA-384 of the key that signed the ID block')
    .option('--author-key-digest <hex>', 'SHA-384 of the key that signed the ID key')
    .option('--event-log <file>', 'the event log (CCEL) that the RTMRs of a TDX quote have to come from')
    .option('--json', 'as JSON, for programs')
    .addHelpText(
      'after',
      '\nExit code: 0 when all that was asked for holds, 3 for evidence that is not genuine, 4 for what is genuine and not ours.',
    )
    .action(async (file: string, flags: VerifyReportFlags) => {
      const { evidenceJson, evidenceText } =
        require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
      const { verifyReportOfOptions } =
        require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
      const given = new Map<string, string>();
      const at = (text: string): string => {
        const absolute = resolve(environment.cwd, text);
        given.set(absolute, text);
        return absolute;
      };
      const { certificate: certificates, root: roots, crl: crls, ...options } = flags;
      const result = await verifyReportOfOptions(
        file,
        { ...options, certificates, roots, crls },
        {
          at,
          display: (absolute) => given.get(absolute) ?? absolute,
          nameOf: (option) => `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
        },
      );
      environment.stdout(flags.json === true ? evidenceJson(result) : evidenceText(result));
      const code = EXIT_CODES[result.verdict];
      if (code !== 0) throw new ExitCode(code);
    });
}
