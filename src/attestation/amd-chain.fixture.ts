import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { type ParsedCertificate, parseCertificate } from './certificates';
import { SNP_REPORT_SIZE } from './snp-report';

/** A DER value: tag, length, contents. */
function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...contents: Uint8Array[]): Buffer => der(0x30, ...contents);
const ECDSA_SHA384 = Buffer.from('300a06082a8648ce3d040303', 'hex');

const name = (commonName: string): Buffer =>
  sequence(der(0x31, sequence(Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(commonName)))));

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second].concat(
    rest.flatMap((arc) => {
      const septets = [arc & 0x7f];
      for (let left = arc >> 7; left > 0; left >>= 7) septets.unshift((left & 0x7f) | 0x80);
      return septets;
    }),
  );
  return der(0x06, Buffer.from(bytes));
}

const integer = (value: number): Buffer =>
  der(0x02, Buffer.from(value < 0x80 ? [value] : value < 0x100 ? [0, value] : [value >> 8, value & 0xff]));

const utcTime = (year: number): Buffer => der(0x17, Buffer.from(`${String(year).slice(2)}0101000000Z`));

export interface Issued {
  certificate: ParsedCertificate;
  der: Buffer;
  key: KeyObject;
}

export interface IssueOptions {
  commonName: string;
  issuer?: Issued;
  /** First and last year. */
  years?: [number, number];
  serial?: number;
  curve?: string;
  /** DER values by object identifier. */
  extensions?: Record<string, Buffer>;
}

/** Issues a certificate for a new key. Without an issuer, it is self-signed. */
export function issue({
  commonName,
  issuer,
  years: [from, to] = [2020, 2045],
  serial = 1,
  curve = 'P-384',
  extensions = {},
}: IssueOptions): Issued {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const values = Object.entries(extensions).map(([id, value]) => sequence(oid(id), der(0x04, value)));
  const tbs = sequence(
    der(0xa0, integer(2)),
    integer(serial),
    ECDSA_SHA384,
    name(issuer?.certificate.commonName ?? commonName),
    sequence(utcTime(from), utcTime(to)),
    name(commonName),
    publicKey.export({ format: 'der', type: 'spki' }),
    ...(values.length === 0 ? [] : [der(0xa3, sequence(...values))]),
  );
  const signature = sign('sha384', tbs, issuer?.key ?? privateKey);
  const bytes = sequence(tbs, ECDSA_SHA384, der(0x03, Buffer.of(0), signature));
  return { certificate: parseCertificate(bytes, `${commonName}.der`), der: bytes, key: privateKey };
}

/** A revocation list for these serial numbers. */
export function revocationList(issuer: Issued, serials: number[], [from, to]: [number, number] = [2020, 2045]): Buffer {
  const revoked = serials.map((serial) => sequence(integer(serial), utcTime(from)));
  const tbs = sequence(
    integer(1),
    ECDSA_SHA384,
    name(issuer.certificate.commonName),
    utcTime(from),
    utcTime(to),
    ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
  );
  return sequence(tbs, ECDSA_SHA384, der(0x03, Buffer.of(0), sign('sha384', tbs, issuer.key)));
}

const ARC = '1.3.6.1.4.1.3704.1';

/** The extensions of a VCEK for these firmware versions, in AMD's order for the generation. */
export function leafExtensions(generation: string, tcb: Buffer, chipId: Buffer | undefined): Record<string, Buffer> {
  const order = generation === 'Turin' ? [9, 1, 2, 3, 5, 6, 7, 8] : [1, 2, 4, 5, 6, 7, 3, 8];
  return {
    [`${ARC}.1`]: integer(0),
    [`${ARC}.2`]: der(0x16, Buffer.from(generation === 'Milan' ? 'Milan-B0' : generation)),
    ...Object.fromEntries(order.map((part, index) => [`${ARC}.3.${part}`, integer(tcb[index]!)])),
    ...(chipId === undefined ? {} : { [`${ARC}.4`]: chipId }),
  };
}

/** The fields of a report, which {@link signedReport} writes at the offsets in the firmware's ABI. */
export interface ReportFields {
  version?: number;
  guestSvn?: number;
  policy?: bigint;
  vmpl?: number;
  reportData?: Buffer;
  measurement?: Buffer;
  idKeyDigest?: Buffer;
  familyId?: Buffer;
  imageId?: Buffer;
  tcb?: Buffer;
  chipId?: Buffer;
  signingKey?: number;
  /** Family, model and stepping, from version 3 on. */
  cpu?: readonly [number, number] | readonly [number, number, number];
}

export const CHIP_ID = randomBytes(64);
export const TCB = Buffer.from([4, 0, 0, 0, 0, 0, 24, 219]);

/** A report that is signed in the way of the firmware. */
export function signedReport(fields: ReportFields, key: KeyObject): Buffer {
  const bytes = Buffer.alloc(SNP_REPORT_SIZE);
  bytes.writeUInt32LE(fields.version ?? 2, 0);
  bytes.writeUInt32LE(fields.guestSvn ?? 0, 4);
  bytes.writeBigUInt64LE(fields.policy ?? 0x30000n, 8);
  bytes.set(fields.familyId ?? [], 0x10);
  bytes.set(fields.imageId ?? [], 0x20);
  bytes.writeUInt32LE(fields.vmpl ?? 0, 0x30);
  bytes.writeUInt32LE(1, 0x34);
  bytes.writeUInt32LE((fields.signingKey ?? 0) << 2, 0x48);
  bytes.set(fields.reportData ?? [], 0x50);
  bytes.set(fields.measurement ?? [], 0x90);
  bytes.set(fields.idKeyDigest ?? [], 0xe0);
  bytes.set(fields.tcb ?? TCB, 0x180);
  bytes.set(fields.cpu ?? [], 0x188);
  bytes.set(fields.chipId ?? CHIP_ID, 0x1a0);
  const both = sign('sha384', bytes.subarray(0, 0x2a0), {
    key,
    dsaEncoding: 'ieee-p1363',
  });
  bytes.set(Buffer.from(both.subarray(0, 48)).reverse(), 0x2a0);
  bytes.set(Buffer.from(both.subarray(48)).reverse(), 0x2a0 + 72);
  return bytes;
}

/** A chain like AMD's, with the test's own keys. */
export function amdChain(
  generation = 'Milan',
  {
    tcb = TCB,
    chipId = CHIP_ID as Buffer | undefined,
    kind = 'VCEK',
    years = undefined as [number, number] | undefined,
  } = {},
): { ark: Issued; ask: Issued; leaf: Issued } {
  const ark = issue({ commonName: `ARK-${generation}` });
  const ask = issue({ commonName: `SEV-${kind === 'VLEK' ? 'VLEK-' : ''}${generation}`, issuer: ark, serial: 2 });
  const leaf = issue({
    commonName: `SEV-${kind}`,
    issuer: ask,
    serial: 3,
    ...(years === undefined ? {} : { years }),
    extensions: leafExtensions(generation, tcb, kind === 'VLEK' ? undefined : chipId),
  });
  return { ark, ask, leaf };
}
