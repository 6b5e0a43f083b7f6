import { IgvmError } from '../errors/igvm-error';
import { type ParsedCertificate, parseCertificates } from './certificates';

/** A report of the SGX enclave that signs quotes (Intel SDM volume 3D, REPORT: REPORTBODY). */
export interface QuotingEnclave {
  /** u64 of ATTRIBUTES; bit 1 is debugging. */
  flags: bigint;
  /** 64 bytes: binds the attestation key. */
  reportData: Buffer;
  /** All 384 bytes, which the PCK signs. */
  bytes: Buffer;
}

/** A TDX quote (Intel TDX DCAP quoting library API, A.3: quote formats 4 and 5). Nothing of it is true before it is verified. */
export interface TdxQuote {
  version: number;
  /** 2: ECDSA with P-256. */
  attestationKeyType: number;
  /** 0x81: TDX. */
  teeType: number;
  /** Who made the quoting enclave, 16 bytes, hexadecimal. */
  vendor: string;
  /** Versions of the TDX module and its loader, 16 bytes. */
  teeTcbSvn: Buffer;
  /** TD ATTRIBUTES, u64; bit 0 is debugging. */
  attributes: bigint;
  /** 48 bytes: the launch digest. */
  mrTd: Buffer;
  /** Four of 48 bytes: what the guest measured at run time. */
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
  /** What is hashed with the attestation key. */
  authenticationData: Buffer;
  /** The chain of the key that signs for the platform (PCK), as the quote has it: the PCK's first. */
  certificates: ParsedCertificate[];
  /** Bytes behind the quote that belong to nothing. */
  surplus: number;
}

const HEADER_SIZE = 48;
const TDX_TEE_TYPE = 0x81;

/** Bytes of a body: of TDX 1.0 and, with two more fields, 1.5. */
const BODY_SIZES: Readonly<Record<number, number>> = { 2: 584, 3: 648 };
const ENCLAVE_REPORT_SIZE = 384;

/** Kinds of certification data. */
const PCK_CHAIN = 5;
const ENCLAVE_DATA = 6;

/** Whether the bytes begin as a TDX quote does. */
export const isTdxEvidence = (bytes: Buffer): boolean =>
  bytes.length >= HEADER_SIZE && bytes.readUInt32LE(4) === TDX_TEE_TYPE && bytes.readUInt16LE(0) >= 4;

/**
 * Reads a quote. Its lengths have to agree; what follows it is left alone, as buffers for quotes are larger.
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
  if (bodySize === undefined) throw reader.error(`has a body of type ${bodyType}, which is no TDX guest's`);
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

/** Some quoting libraries end the text with a zero. */
const withoutEnd = (text: Buffer): Buffer => (text.at(-1) === 0 ? text.subarray(0, -1) : text);

/** Takes parts one after another, each within the bytes. */
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

  /** Data with its type and size before it. */
  sized(type: number, what: string): Reader {
    const found = this.u16(what);
    if (found !== type) throw this.error(`has data of type ${found} for ${what}, and type ${type} is known`);
    return new Reader(this.take(this.u32(what), what), this.origin);
  }

  rest(): Buffer {
    return this.bytes.subarray(this.at);
  }

  end(what: string): void {
    if (this.at !== this.bytes.length) throw this.error(`has bytes behind ${what}`);
  }

  error(message: string): IgvmError {
    return new IgvmError('EVIDENCE_INVALID', `the TDX quote ${message}`, { file: this.origin });
  }
}
