import { createHash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import { parseCertificates, type ParsedCertificate } from './certificates';

/** A report of the SGX enclave that signs quotes (Intel SDM volume 3D, REPORT: REPORTBODY). */
export interface QuotingEnclave {
  /** u64 of ATTRIBUTES; bit 1 is debugging. */
  flags: bigint;
  /** 64 bytes: binds the attestation key. */
  reportData: Buffer;
  /** All 384 bytes, which the PCK signs. */
  bytes: Buffer;
}

/** A TDX quote (Intel TDX DCAP quoting library API, A.3: quote formats 4 and 5). Nothing in it can be trusted before it is verified. */
export interface TdxQuote {
  version: number;
  /** 2: ECDSA with P-256. */
  attestationKeyType: number;
  /** 0x81: TDX. */
  teeType: number;
  /** The vendor of the quoting enclave, 16 bytes, hexadecimal. */
  vendor: string;
  /** Versions of the TDX module and its loader, 16 bytes. */
  teeTcbSvn: Buffer;
  /** TD ATTRIBUTES, u64; bit 0 is debugging. */
  attributes: bigint;
  /** 48 bytes: the launch digest. */
  mrTd: Buffer;
  /** Four registers of 48 bytes, with the guest's measurements at run time. */
  rtmrs: Buffer[];
  /** 64 bytes. */
  reportData: Buffer;
  /** The bytes that the attestation key signs: header and body. */
  signed: Buffer;
  /** r and s, 32 bytes each, big-endian. */
  signature: Buffer;
  /** x and y of P-256, 32 bytes each, big-endian. */
  attestationKey: Buffer;
  enclave: QuotingEnclave;
  enclaveSignature: Buffer;
  /** Data that is hashed together with the attestation key. */
  authenticationData: Buffer;
  /** The certificate chain of the platform's signing key (PCK) in the order of the quote: that of the PCK first. */
  certificates: ParsedCertificate[];
  /** Unused bytes after the quote. */
  surplus: number;
}

const HEADER_SIZE = 48;
const TDX_TEE_TYPE = 0x81;

/** Bytes of a body: for TDX 1.0 and, with two more fields, for 1.5. */
const BODY_SIZES: Readonly<Record<number, number>> = { 2: 584, 3: 648 };
const ENCLAVE_REPORT_SIZE = 384;

/** Kinds of certification data. */
const PCK_CHAIN = 5;
const ENCLAVE_DATA = 6;

/** Whether the bytes begin like a TDX quote. */
export const isTdxEvidence = (bytes: Buffer): boolean =>
  bytes.length >= HEADER_SIZE && bytes.readUInt32LE(4) === TDX_TEE_TYPE && bytes.readUInt16LE(0) >= 4;

/**
 * Reads a quote. Its lengths must agree. Bytes after it are ignored, because buffers for quotes are larger.
 * @param origin the file's name, for messages
 * @throws IgvmError EVIDENCE_INVALID, CERTIFICATE_INVALID
 */
export function parseTdxQuote(bytes: Buffer, origin: string): TdxQuote {
  const reader = new Reader(bytes, origin);
  const header = reader.take(HEADER_SIZE, 'its header');
  const version = header.readUInt16LE(0);
  if (version !== 4 && version !== 5) throw reader.error(`has version ${version} (known: 4, 5)`);
  const bodyType = version === 4 ? 2 : reader.u16('the type of its body');
  const bodySize = BODY_SIZES[bodyType];
  if (bodySize === undefined) throw reader.error(`has a body of type ${bodyType}, which is not that of a TDX guest`);
  if (version === 5 && reader.u32('the size of its body') !== bodySize)
    throw reader.error('has a body of another size');
  const body = reader.take(bodySize, 'its body');
  const signed = bytes.subarray(0, reader.at);
  const sizes = reader.u32('the size of its signature');
  const data = new Reader(reader.take(sizes, 'its signature'), origin);
  const signature = data.take(64, 'its signature');
  const attestationKey = data.take(64, 'its attestation key');
  const certification = data.sized(ENCLAVE_DATA, 'the report of its quoting enclave');
  data.end('its signature');
  const report = certification.take(ENCLAVE_REPORT_SIZE, 'the report of its quoting enclave');
  const enclaveSignature = certification.take(64, "its quoting enclave's signature");
  const authenticationData = certification.take(certification.u16('authentication data'), 'authentication data');
  const chain = certification.sized(PCK_CHAIN, 'its certificates');
  certification.end('the data of its quoting enclave');
  const part = (offset: number, size: number): Buffer => body.subarray(offset, offset + size);
  return {
    version,
    attestationKeyType: header.readUInt16LE(2),
    teeType: header.readUInt32LE(4),
    vendor: header.subarray(12, 28).toString('hex'),
    teeTcbSvn: part(0, 16),
    attributes: body.readBigUInt64LE(120),
    mrTd: part(136, 48),
    rtmrs: [0, 1, 2, 3].map((index) => part(328 + 48 * index, 48)),
    reportData: part(520, 64),
    signed,
    signature,
    attestationKey,
    enclave: { flags: report.readBigUInt64LE(48), reportData: report.subarray(320, 384), bytes: report },
    enclaveSignature,
    authenticationData,
    certificates: parseCertificates(withoutEnd(chain.rest()), `${origin}, its chain`),
    surplus: bytes.length - reader.at,
  };
}

/** Some quoting libraries end the text with a NUL character. */
const withoutEnd = (text: Buffer): Buffer => (text.at(-1) === 0 ? text.subarray(0, -1) : text);

/** Reads consecutive parts, and checks that each is within the bytes. */
class Reader {
  at = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly origin: string,
  ) {}

  take(size: number, what: string): Buffer {
    if (this.bytes.length - this.at < size) throw this.error(`ends within ${what}`);
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  u16(what: string): number {
    return this.take(2, what).readUInt16LE(0);
  }

  u32(what: string): number {
    return this.take(4, what).readUInt32LE(0);
  }

  /** Data after its type and size. */
  sized(type: number, what: string): Reader {
    const found = this.u16(what);
    if (found !== type) throw this.error(`has data of type ${found} for ${what}, expected type ${type}`);
    return new Reader(this.take(this.u32(what), what), this.origin);
  }

  rest(): Buffer {
    return this.bytes.subarray(this.at);
  }

  end(what: string): void {
    if (this.at !== this.bytes.length) throw this.error(`has bytes after ${what}`);
  }

  error(message: string): IgvmError {
    return new IgvmError('EVIDENCE_INVALID', `the TDX quote ${message}`, { file: this.origin });
  }
}

const SHA384 = 0x000c;
/** The type of events that are not measured. */
const EV_NO_ACTION = 3;
/** Limits for events and for the digests of an event, above those of any boot. */
const MOST_EVENTS = 2 ** 16;
const MOST_DIGESTS = 16;

/** Bytes before the data of the first event: register, type, SHA-1 digest, size of the data. */
const FIRST_HEADER_SIZE = 32;
const SIGNATURE = 'Spec ID Event03\0';

/**
 * Replays the event log of a TDX guest (ACPI's CCEL: TCG PC Client Platform Firmware Profile, 10.2, crypto-agile format; register
 * numbers from Intel's guest-hypervisor communication interface: 0 for MRTD, 1 to 4 for RTMR 0 to 3).
 * @param origin the file's name, for messages
 * @returns the four registers, 48 bytes each, and the number of events
 * @throws IgvmError EVIDENCE_INVALID
 */
export function replayEventLog(log: Buffer, origin: string): { rtmrs: Buffer[]; events: number } {
  const fail = (message: string): never => {
    throw new IgvmError('EVIDENCE_INVALID', `the event log ${message}`, { file: origin });
  };
  let at = 0;
  const take = (size: number): Buffer => {
    if (log.length - at < size) fail(`ends within an event, at byte ${at}`);
    at += size;
    return log.subarray(at - size, at);
  };
  const first = take(FIRST_HEADER_SIZE);
  const specification = take(first.readUInt32LE(28));
  if (first.readUInt32LE(4) !== EV_NO_ACTION || !specification.toString('latin1').startsWith(SIGNATURE)) {
    fail('does not begin with the event that names its format');
  }
  const sizes = digestSizes(specification) ?? fail('names no digests, or not SHA-384');
  const rtmrs = [0, 1, 2, 3].map(() => Buffer.alloc(48));
  let events = 0;
  while (log.length - at >= 12 && !isEnd(log, at)) {
    if (++events > MOST_EVENTS) fail(`has more than ${MOST_EVENTS} events`);
    const [register, type, count] = [take(4), take(4), take(4)].map((bytes) => bytes.readUInt32LE(0));
    if (count! > MOST_DIGESTS) fail(`has an event with ${count} digests`);
    let digest: Buffer | undefined;
    for (let index = 0; index < count!; index++) {
      const algorithm = take(2).readUInt16LE(0);
      const bytes = take(
        sizes.get(algorithm) ?? fail(`has a digest of an algorithm that it does not name: ${algorithm}`),
      );
      if (algorithm === SHA384) digest = bytes;
    }
    take(take(4).readUInt32LE(0));
    if (type === EV_NO_ACTION || register === 0) continue;
    const rtmr = rtmrs[register! - 1] ?? fail(`measures into register ${register}, which TDX does not have`);
    if (digest === undefined) return fail('has an event without a SHA-384 digest');
    rtmrs[register! - 1] = createHash('sha384').update(rtmr).update(digest).digest();
  }
  return { rtmrs, events };
}

/** After the last event, the area is filled with ones or zeros. */
function isEnd(log: Buffer, at: number): boolean {
  const next = log.subarray(at, at + 12);
  return next.every((byte) => byte === 0xff) || next.every((byte) => byte === 0);
}

/** Sizes of digests, by the numbers of their algorithms. */
function digestSizes(specification: Buffer): ReadonlyMap<number, number> | undefined {
  if (specification.length < 28) return undefined;
  const count = specification.readUInt32LE(24);
  if (count > MOST_DIGESTS || specification.length < 28 + 4 * count) return undefined;
  const sizes = new Map(
    Array.from({ length: count }, (_, index): [number, number] => [
      specification.readUInt16LE(28 + 4 * index),
      specification.readUInt16LE(30 + 4 * index),
    ]),
  );
  return sizes.get(SHA384) === 48 ? sizes : undefined;
}
