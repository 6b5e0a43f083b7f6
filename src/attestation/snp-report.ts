import { X509Certificate } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import { processorSignature } from '../measurement/kvm-vmsa';
import { parseCertificate, type ParsedCertificate } from './certificates';

/** Bytes of an SEV-SNP attestation report, all versions. */
export const SNP_REPORT_SIZE = 0x4a0;

/** Bytes of a report that its signature covers. */
const SNP_SIGNED_SIZE = 0x2a0;

/** Versions of reports whose fields are known: SEV-SNP firmware ABI 1.51 to 1.58, ATTESTATION_REPORT. */
export const SNP_REPORT_VERSIONS: readonly number[] = [2, 3, 4, 5];

/** An SEV-SNP attestation report (SEV-SNP firmware ABI 1.58, ATTESTATION_REPORT). Nothing in it can be trusted before it is verified. */
export interface SnpReport {
  version: number;
  /** u32; 0 without an ID block. */
  guestSvn: number;
  /** u64. */
  policy: bigint;
  /** 16 bytes each; zeros without an ID block. */
  familyId: Buffer;
  imageId: Buffer;
  /** The VMPL that requested the report: 0 to 3, or 0xffffffff for the host. */
  vmpl: number;
  /** 1 for ECDSA P-384 with SHA-384. */
  signatureAlgorithm: number;
  /** 0 for the chip's key (VCEK), 1 for the cloud provider's (VLEK), 7 for none. */
  signingKey: number;
  isAuthorKeyEnabled: boolean;
  /** Whether the host keeps the firmware from signing with the chip's key. */
  isChipKeyMasked: boolean;
  /** 64 bytes. */
  reportData: Buffer;
  /** 48 bytes: the launch digest. */
  measurement: Buffer;
  /** 32 bytes. */
  hostData: Buffer;
  /** 48 bytes each: SHA-384 of keys; zeros without them. */
  idKeyDigest: Buffer;
  authorKeyDigest: Buffer;
  /** Versions of the firmware's parts, 8 bytes. The signing key is derived from them. */
  reportedTcb: Buffer;
  /** The family and model of the processor as in CPUID, from report version 3 on. */
  cpu: { family: number; model: number; stepping: number } | undefined;
  /** 64 bytes; zeros where the host hides it. */
  chipId: Buffer;
  /** The bytes that are signed. */
  signed: Buffer;
  /** r and s, 48 bytes each, big-endian; undefined if the field of the signature has any other bytes. */
  signature: Buffer | undefined;
}

/**
 * Reads a report.
 * @param bytes at least {@link SNP_REPORT_SIZE}
 */
export function parseSnpReport(bytes: Buffer): SnpReport {
  const part = (offset: number, size: number): Buffer => bytes.subarray(offset, offset + size);
  const version = bytes.readUInt32LE(0);
  const keyInfo = bytes.readUInt32LE(0x48);
  return {
    version,
    guestSvn: bytes.readUInt32LE(0x04),
    policy: bytes.readBigUInt64LE(0x08),
    familyId: part(0x10, 16),
    imageId: part(0x20, 16),
    vmpl: bytes.readUInt32LE(0x30),
    signatureAlgorithm: bytes.readUInt32LE(0x34),
    isAuthorKeyEnabled: (keyInfo & 1) !== 0,
    isChipKeyMasked: (keyInfo & 2) !== 0,
    signingKey: (keyInfo >> 2) & 7,
    reportData: part(0x50, 64),
    measurement: part(0x90, 48),
    hostData: part(0xc0, 32),
    idKeyDigest: part(0xe0, 48),
    authorKeyDigest: part(0x110, 48),
    reportedTcb: part(0x180, 8),
    cpu: version < 3 ? undefined : { family: bytes[0x188]!, model: bytes[0x189]!, stepping: bytes[0x18a]! },
    chipId: part(0x1a0, 64),
    signed: part(0, SNP_SIGNED_SIZE),
    signature: numbersOf(part(SNP_SIGNED_SIZE, SNP_REPORT_SIZE - SNP_SIGNED_SIZE)),
  };
}

/** The signature of the processor, CPUID leaf 1 EAX, if the report has it. */
export const signatureOf = ({ cpu }: SnpReport): number | undefined =>
  cpu === undefined || cpu.family < 15 ? undefined : processorSignature(cpu.family, cpu.model, cpu.stepping & 0xf);

/** Two numbers of 72 bytes, little-endian, of which P-384 uses 48; the rest is zero. */
function numbersOf(field: Buffer): Buffer | undefined {
  const [r, s] = [field.subarray(0, 48), field.subarray(72, 120)];
  if (!isZero(field.subarray(48, 72)) || !isZero(field.subarray(120))) return undefined;
  return Buffer.concat([Buffer.from(r).reverse(), Buffer.from(s).reverse()]);
}

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** The contents of a file with a report. */
export interface SnpEvidence {
  report: SnpReport;
  /** Certificates that the host provided with the report. */
  certificates: ParsedCertificate[];
  /** Unused bytes after the report. */
  surplus: number;
}

/** Bytes of the header of the firmware's answer to the guest's request (MSG_REPORT_RSP): status, size of the report, 24 reserved. */
const ANSWER_HEADER_SIZE = 32;

/** Whether the bytes begin like a report, or like a response with one. */
export const isSnpEvidence = (bytes: Buffer): boolean => reportStart(bytes) !== undefined;

function reportStart(bytes: Buffer): number | undefined {
  const looksLikeOne = (start: number): boolean => {
    if (bytes.length < start + SNP_REPORT_SIZE) return false;
    const version = bytes.readUInt32LE(start);
    // Later versions are recognised, so that the message can name them.
    return version >= 1 && version <= 0xff && bytes.readUInt32LE(start + 0x34) <= 0xff;
  };
  const isAnswer =
    bytes.length >= ANSWER_HEADER_SIZE &&
    bytes.readUInt32LE(0) === 0 &&
    bytes.readUInt32LE(4) === SNP_REPORT_SIZE &&
    isZero(bytes.subarray(8, ANSWER_HEADER_SIZE));
  const start = isAnswer ? ANSWER_HEADER_SIZE : 0;
  return looksLikeOne(start) ? start : undefined;
}

/**
 * Reads a report: alone (as from the firmware, configfs-tsm's outblob and snpguest), in the firmware's response, or followed by the host's
 * certificates (extended report).
 * @param origin the file's name, for messages
 * @throws IgvmError EVIDENCE_INVALID, CERTIFICATE_INVALID
 */
export function parseSnpEvidence(bytes: Buffer, origin: string): SnpEvidence {
  const start = reportStart(bytes);
  if (start === undefined) throw new IgvmError('EVIDENCE_INVALID', 'is not an SEV-SNP report', { file: origin });
  const rest = bytes.subarray(start + SNP_REPORT_SIZE);
  const hasTable = rest.length >= ENTRY_SIZE && !isZero(rest);
  return {
    report: parseSnpReport(bytes.subarray(start, start + SNP_REPORT_SIZE)),
    certificates: hasTable ? certificatesInTable(rest, origin) : [],
    surplus: hasTable ? 0 : rest.length,
  };
}

/** GHCB specification 2.03, 4.1.8.1: an entry is a GUID, offset and length; an entry of zeros is the last. */
const ENTRY_SIZE = 24;

/** The kinds of table entries, by GUID. */
const ENTRIES: Readonly<Record<string, string>> = {
  '63da758de6644564adc5f4b93be8accd': 'VCEK',
  a8074bc2a25a483eaae639c045a0b8a1: 'VLEK',
  '4ab7b379bbac4fe4a02f05aef327c782': 'ASK',
  c0b406a4a803495297433fb6014cd0ae: 'ARK',
};

/**
 * The certificates in a table from the host, as in an extended report or configfs-tsm's auxblob.
 * @throws IgvmError EVIDENCE_INVALID, CERTIFICATE_INVALID
 */
export function certificatesInTable(table: Buffer, origin: string): ParsedCertificate[] {
  const entries: { kind: string | undefined; offset: number; length: number }[] = [];
  const fail = (what: string): never => {
    throw new IgvmError('EVIDENCE_INVALID', `the table of certificates ${what}`, { file: origin });
  };
  for (let at = 0; ; at += ENTRY_SIZE) {
    if (at + ENTRY_SIZE > table.length) fail('has no end');
    const entry = table.subarray(at, at + ENTRY_SIZE);
    if (isZero(entry)) {
      const end = at + ENTRY_SIZE;
      if (entries.some(({ offset }) => offset < end)) fail('has a certificate that overlaps its entries');
      break;
    }
    if (entries.length === 32) fail('has more than 32 entries');
    const [offset, length] = [entry.readUInt32LE(16), entry.readUInt32LE(20)];
    if (offset + length > table.length)
      fail(`has a certificate at bytes ${offset} to ${offset + length}, but only ${table.length} bytes`);
    entries.push({ kind: kindOf(entry.subarray(0, 16)), offset, length });
  }
  return entries.flatMap(({ kind, offset, length }) => {
    const content = table.subarray(offset, offset + length);
    if (kind !== undefined) return [parseCertificate(content, `${origin}, ${kind}`)];
    // Hosts may add entries of their own, but a certificate must not be ignored because its GUID was changed.
    if (isCertificate(content)) fail('has a certificate under an unknown GUID');
    return [];
  });
}

function isCertificate(content: Buffer): boolean {
  try {
    return new X509Certificate(content).raw.length > 0;
  } catch {
    return false;
  }
}

/** GUIDs occur in both byte orders: as plain bytes, and with the first three parts as little-endian numbers. */
function kindOf(guid: Buffer): string | undefined {
  const mixed = Buffer.from(guid);
  mixed.subarray(0, 4).reverse();
  mixed.subarray(4, 6).reverse();
  mixed.subarray(6, 8).reverse();
  return ENTRIES[guid.toString('hex')] ?? ENTRIES[mixed.toString('hex')];
}

/** A part of the firmware with a version in the TCB. */
export type TcbPart = 'fmc' | 'bootloader' | 'tee' | 'snp' | 'microcode';

/** Under AMD's arc: versions of the parts in a certificate (VCEK specification, table 8). */
const SPL = '1.3.6.1.4.1.3704.1.3.';

/** A byte of the 8-byte TCB: its part of the firmware, and the object identifier of its extension in certificates. */
interface TcbByte {
  readonly part?: TcbPart;
  readonly extension: string;
  /** Whether the byte is reserved. Then certificates may lack the extension. */
  readonly isReserved?: true;
}

/** Family 19h (Milan, Genoa): SEV-SNP firmware ABI 1.58, TCB_VERSION. */
const ZEN3: readonly TcbByte[] = [
  { part: 'bootloader', extension: `${SPL}1` },
  { part: 'tee', extension: `${SPL}2` },
  { extension: `${SPL}4`, isReserved: true },
  { extension: `${SPL}5`, isReserved: true },
  { extension: `${SPL}6`, isReserved: true },
  { extension: `${SPL}7`, isReserved: true },
  { part: 'snp', extension: `${SPL}3` },
  { part: 'microcode', extension: `${SPL}8` },
];

/** Family 1Ah (Turin), which has the FMC as a further part. */
const ZEN5: readonly TcbByte[] = [
  { part: 'fmc', extension: `${SPL}9` },
  { part: 'bootloader', extension: `${SPL}1` },
  { part: 'tee', extension: `${SPL}2` },
  { part: 'snp', extension: `${SPL}3` },
  { extension: `${SPL}5`, isReserved: true },
  { extension: `${SPL}6`, isReserved: true },
  { extension: `${SPL}7`, isReserved: true },
  { part: 'microcode', extension: `${SPL}8` },
];

export const TCB_LAYOUTS = { Milan: ZEN3, Genoa: ZEN3, Turin: ZEN5 } as const;

export type GenerationName = keyof typeof TCB_LAYOUTS;

/** Versions of the parts of a TCB. */
export const tcbParts = (tcb: Buffer, generation: GenerationName): ReadonlyMap<TcbPart, number> =>
  new Map(TCB_LAYOUTS[generation].flatMap(({ part }, index) => (part === undefined ? [] : [[part, tcb[index] ?? 0]])));

export const tcbText = (parts: ReadonlyMap<TcbPart, number>): string =>
  [...parts].map(([part, version]) => `${part}=${version}`).join(',');

/** The number in an extension: an INTEGER of DER below 256; undefined for anything else. */
function numberOf(value: Buffer | undefined): number | undefined {
  if (value?.[0] !== 0x02) return undefined;
  if (value.length === 3 && value[1] === 1 && value[2]! < 0x80) return value[2];
  if (value.length === 4 && value[1] === 2 && value[2] === 0 && value[3]! >= 0x80) return value[3];
  return undefined;
}

/**
 * Compares the TCB in a report with that of the certificate of its signing key.
 * @returns what differs, in words; none when they agree
 */
export function tcbDifferences(
  tcb: Buffer,
  extensions: ReadonlyMap<string, Buffer>,
  generation: GenerationName,
): string[] {
  return TCB_LAYOUTS[generation].flatMap(({ part, extension, isReserved }, index) => {
    const value = extensions.get(extension);
    const name = part ?? `byte ${index}`;
    if (value === undefined) return isReserved ? [] : [`the certificate has no version of ${name}`];
    const certified = numberOf(value);
    return certified === tcb[index]
      ? []
      : [`${name} is ${tcb[index]} in the report and ${certified} in the certificate`];
  });
}

/**
 * Parses the minimum TCB of an option: `bootloader=4,tee=0,snp=24,microcode=219`. Parts that are not named have no minimum.
 * @throws IgvmError USAGE
 */
export function parseMinimumTcb(text: string): Map<TcbPart, number> {
  const parts = new Map<TcbPart, number>();
  for (const item of text.split(',')) {
    const [, part, version] = /^(fmc|bootloader|tee|snp|microcode)=(\d{1,3})$/.exec(item.trim()) ?? [];
    if (part === undefined || Number(version) > 255 || parts.has(part as TcbPart)) {
      throw new IgvmError(
        'USAGE',
        `"${text}" is not a minimum TCB such as bootloader=4,tee=0,snp=24,microcode=219 (Turin has fmc, too), each from 0 to 255`,
      );
    }
    parts.set(part as TcbPart, Number(version));
  }
  return parts;
}
