import { IgvmError } from '../errors/igvm-error';
import { type LaunchOptions, launchesOfOptions } from '../measurement/launches';
import { type EvidenceReport, type VerifyReportOptions, verifyReport } from './verify-report';

/** What is asked of evidence, as options state it. */
export interface EvidenceOptions extends LaunchOptions {
  /** Paths. */
  certificates?: readonly string[];
  roots?: readonly string[];
  crls?: readonly string[];
  lock?: string;
  image?: string;
  eventLog?: string;
  /** ISO 8601 with a time zone, or a date. */
  at?: string;
  /** Hexadecimal digits. */
  reportData?: string;
  nonce?: string;
  hostData?: string;
  idKeyDigest?: string;
  authorKeyDigest?: string;
  minimumTcb?: string;
  /** Numbers. */
  guestSvn?: string | number;
  vmpl?: string | number;
}

/**
 * Verifies the evidence that options name.
 * @param at makes a path absolute
 * @param display what messages call an absolute path
 * @param nameOf what messages call an option
 * @throws IgvmError USAGE for an option that makes no sense, and as `verifyReport`
 */
export function verifyReportOfOptions(
  report: string,
  options: EvidenceOptions,
  {
    at,
    display,
    nameOf,
  }: { at: (path: string) => string; display: (path: string) => string; nameOf: (option: string) => string },
): Promise<EvidenceReport> {
  const { vmm, vcpus, cpu, kvmMode, lock, image, eventLog } = options;
  const isLaunchGiven = [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);
  if (isLaunchGiven && (image === undefined || vmm === undefined)) {
    throw new IgvmError('USAGE', `a launch is expected with ${nameOf('image')} and ${nameOf('vmm')}`);
  }
  const bytes = (name: HexOption): Buffer | undefined => bytesOf(nameOf(name), options[name], SIZES[name]);
  const path = (text: string | undefined): string | undefined => (text === undefined ? undefined : at(text));
  const request: VerifyReportOptions = {
    report: at(report),
    certificates: options.certificates?.map(at),
    roots: options.roots?.map(at),
    crls: options.crls?.map(at),
    at: timeOf(nameOf('at'), options.at),
    lock: path(lock),
    image: path(image),
    launches: isLaunchGiven ? launchesOfOptions({ vmm, vcpus, cpu, kvmMode }) : undefined,
    display,
    reportData: bytes('reportData'),
    nonce: bytes('nonce'),
    hostData: bytes('hostData'),
    minimumTcb: options.minimumTcb,
    eventLog: path(eventLog),
    guestSvn: wholeNumber(nameOf('guestSvn'), options.guestSvn, 0xffff_ffff),
    vmpl: wholeNumber(nameOf('vmpl'), options.vmpl, 3),
    idKeyDigest: bytes('idKeyDigest'),
    authorKeyDigest: bytes('authorKeyDigest'),
  };
  return verifyReport(request);
}

/** The fewest and most bytes of an option, or up to how many it is filled with zeros. */
const SIZES = {
  reportData: { least: 1, most: 64, fill: 64 },
  nonce: { least: 8, most: 64 },
  hostData: { least: 32, most: 32 },
  idKeyDigest: { least: 48, most: 48 },
  authorKeyDigest: { least: 48, most: 48 },
} as const satisfies Record<string, Size>;

type HexOption = keyof typeof SIZES;

interface Size {
  readonly least: number;
  readonly most: number;
  readonly fill?: number;
}

/** ISO 8601 with a time zone, or a date alone: anything else means different times on different machines. */
function timeOf(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const isExact = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = new Date(text);
  if (isExact && !Number.isNaN(time.getTime())) return time;
  throw new IgvmError('USAGE', `${name} is "${text}", which is no time such as 2026-03-01T12:00:00Z`);
}

function bytesOf(name: string, text: string | undefined, { least, most, fill }: Size): Buffer | undefined {
  if (text === undefined) return undefined;
  const digits = text.replace(/^0x/i, '');
  const size = digits.length / 2;
  if (!/^[0-9a-f]*$/i.test(digits) || !Number.isInteger(size) || size < least || size > most) {
    const wanted = least === most ? String(least) : `${least} to ${most}`;
    throw new IgvmError('USAGE', `${name} is not ${wanted} bytes in hexadecimal digits`);
  }
  return Buffer.concat([Buffer.from(digits, 'hex'), Buffer.alloc(fill === undefined ? 0 : fill - size)]);
}

function wholeNumber(name: string, value: string | number | undefined, most: number): number | undefined {
  if (value === undefined) return undefined;
  const text = String(value);
  if (!/^\d{1,10}$/.test(text) || Number(text) > most) {
    throw new IgvmError('USAGE', `${name} is "${text}", which is no whole number from 0 to ${most}`);
  }
  return Number(text);
}
