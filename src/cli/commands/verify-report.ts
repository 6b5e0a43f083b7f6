import { resolve } from 'node:path';
import type { Command } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
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
      const { evidenceJson, evidenceText, verifyReport } =
        require('../../attestation/verify-report') as typeof import('../../attestation/verify-report');
      const { vmm, vcpus, cpu, kvmMode } = flags;
      const isLaunchGiven = [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);
      if (isLaunchGiven && (flags.image === undefined || vmm === undefined)) {
        throw new IgvmError('USAGE', 'a launch is expected with --image and --vmm');
      }
      const { launchesOfOptions } =
        require('../../measurement/launches') as typeof import('../../measurement/launches');
      const given = new Map<string, string>();
      const path = (text: string): string => {
        const absolute = resolve(environment.cwd, text);
        given.set(absolute, text);
        return absolute;
      };
      const result = await verifyReport({
        report: path(file),
        certificates: flags.certificate.map(path),
        roots: flags.root.map(path),
        crls: flags.crl.map(path),
        at: timeOf(flags.at),
        lock: flags.lock === undefined ? undefined : path(flags.lock),
        image: flags.image === undefined ? undefined : path(flags.image),
        launches: isLaunchGiven ? launchesOfOptions({ vmm, vcpus, cpu, kvmMode }) : undefined,
        display: (absolute) => given.get(absolute) ?? absolute,
        reportData: bytesOf('--report-data', flags.reportData, { least: 1, fill: 64 }),
        nonce: bytesOf('--nonce', flags.nonce, { least: 8, most: 64 }),
        hostData: bytesOf('--host-data', flags.hostData, { least: 32, most: 32 }),
        minimumTcb: flags.minimumTcb,
        eventLog: flags.eventLog === undefined ? undefined : path(flags.eventLog),
        guestSvn: wholeNumber('--guest-svn', flags.guestSvn, 0xffff_ffff),
        vmpl: wholeNumber('--vmpl', flags.vmpl, 3),
        idKeyDigest: bytesOf('--id-key-digest', flags.idKeyDigest, { least: 48, most: 48 }),
        authorKeyDigest: bytesOf('--author-key-digest', flags.authorKeyDigest, { least: 48, most: 48 }),
      });
      environment.stdout(flags.json === true ? evidenceJson(result) : evidenceText(result));
      const code = EXIT_CODES[result.verdict];
      if (code !== 0) throw new ExitCode(code);
    });
}

/** ISO 8601 with a time zone, or a date alone: anything else means different times on different machines. */
function timeOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const isExact = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = new Date(text);
  if (isExact && !Number.isNaN(time.getTime())) return time;
  throw new IgvmError('USAGE', `--at is "${text}", which is no time such as 2026-03-01T12:00:00Z`);
}

/** Bytes of hexadecimal digits. @param size the fewest and most bytes, or up to how many they are filled with zeros */
function bytesOf(
  name: string,
  text: string | undefined,
  { least, fill, most = fill ?? least }: { least: number; most?: number; fill?: number },
): Buffer | undefined {
  if (text === undefined) return undefined;
  const digits = text.replace(/^0x/i, '');
  const size = digits.length / 2;
  if (!/^[0-9a-f]*$/i.test(digits) || !Number.isInteger(size) || size < least || size > most) {
    const wanted = least === most ? String(least) : `${least} to ${most}`;
    throw new IgvmError('USAGE', `${name} is not ${wanted} bytes in hexadecimal digits`);
  }
  return Buffer.concat([Buffer.from(digits, 'hex'), Buffer.alloc(fill === undefined ? 0 : fill - size)]);
}

function wholeNumber(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) > most) {
    throw new IgvmError('USAGE', `${name} is "${text}", which is no whole number from 0 to ${most}`);
  }
  return Number(text);
}
