import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCertificates, parseRevocationLists } from '../../src/attestation/certificates';
import { Checks } from '../../src/attestation/checks';
import { compareSnpGuest, compareTdxGuest } from '../../src/attestation/compare-guest';
import { decodedEvidence } from '../../src/attestation/evidence-file';
import { certificatesInTable, isSnpEvidence, parseSnpEvidence } from '../../src/attestation/snp-report';
import { isTdxEvidence, parseTdxQuote, replayEventLog } from '../../src/attestation/tdx-quote';
import { evidenceText } from '../../src/attestation/verify-report';
import { verifySnpReport } from '../../src/attestation/verify-snp';
import { verifyTdxQuote } from '../../src/attestation/verify-tdx';
import type { Target } from '../engine/target';
import { eachReader } from './each-reader';
import { expectPlainText } from './plain-text';
import { pem } from './signed-samples';

/** Evidence, and chains of certificates, for fuzzing only. */
const sample = (name: string): Buffer => readFileSync(join(__dirname, '..', 'samples', name));

const EXTENDED_REPORT = sample('snp-extended-report.bin');
const SNP_ROOT = sample('snp-root.der');
const QUOTE = sample('tdx-quote.bin');
const TDX_ROOT = sample('tdx-root.der');
const REVOCATION_LIST = sample('revocation-list.der');

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const trust = (root: Buffer) => ({
  at: new Date('2026-03-01T12:00:00Z'),
  roots: parseCertificates(root, 'root'),
  certificates: [],
  revocationLists: [],
});
const SNP_TRUST = trust(SNP_ROOT);
const TDX_TRUST = trust(TDX_ROOT);

const REPORT_SIZE = 0x4a0;
const SNP_SIGNED = parseSnpEvidence(EXTENDED_REPORT, 'sample').report.signed;
const TDX_SIGNED = parseTdxQuote(QUOTE, 'sample').signed;

/** Only the signed data may be accepted, whatever else was changed. */
function expectGenuine(platform: 'snp' | 'tdx', genuine: Checks, ours: Checks, isSigned: boolean): void {
  const checks = [...genuine.list, ...ours.list];
  expectPlainText(evidenceText({ verdict: 'genuine', platform, checks }));
  const isAccepted = genuine.list.every(({ result }) => result !== 'failed');
  if (isAccepted && !isSigned) throw new Error('evidence that no key has signed is accepted');
}

export const snpReport: Target = {
  name: 'snp-report',
  about: 'SEV-SNP reports (raw, hexadecimal, extended) with their chains',
  format: 'binary',
  dictionary: [
    Uint8Array.of(0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd),
    Uint8Array.of(0, 0, 0, 0, 0xa0, 4, 0, 0),
    Uint8Array.of(3, 0, 0, 0),
    Uint8Array.of(0x19, 0x01),
  ],
  seeds: () => [
    EXTENDED_REPORT,
    EXTENDED_REPORT.subarray(0, REPORT_SIZE),
    Buffer.from(EXTENDED_REPORT.subarray(0, REPORT_SIZE).toString('hex')),
    Buffer.concat([Buffer.of(0, 0, 0, 0, 0xa0, 4, 0, 0), Buffer.alloc(24), EXTENDED_REPORT.subarray(0, REPORT_SIZE)]),
  ],
  run(input) {
    const bytes = decodedEvidence(bufferOf(input.bytes));
    if (!isSnpEvidence(bytes)) return;
    const { report, certificates } = parseSnpEvidence(bytes, 'report');
    const { checks, generation } = verifySnpReport(report, { ...SNP_TRUST, certificates });
    const ours = new Checks('ours');
    compareSnpGuest(ours, report, generation, { minimumTcb: 'snp=1' }, undefined, undefined);
    expectGenuine('snp', checks, ours, report.signed.equals(SNP_SIGNED));
  },
};

export const tdxQuote: Target = {
  name: 'tdx-quote',
  about: 'TDX quotes of versions 4 and 5, with their chains',
  format: 'binary',
  dictionary: ['-----BEGIN CERTIFICATE-----\n', Uint8Array.of(5, 0, 3, 0, 0x88, 2, 0, 0), Uint8Array.of(0x81, 0, 0, 0)],
  seeds: () => [QUOTE],
  run(input) {
    const bytes = decodedEvidence(bufferOf(input.bytes));
    if (!isTdxEvidence(bytes)) return;
    const quote = parseTdxQuote(bytes, 'quote');
    const checks = verifyTdxQuote(quote, TDX_TRUST);
    const ours = new Checks('ours');
    compareTdxGuest(ours, quote, {}, undefined, undefined, undefined);
    expectGenuine('tdx', checks, ours, quote.signed.equals(TDX_SIGNED));
  },
};

export const certificate: Target = {
  name: 'certificate',
  about: 'certificates and revocation lists in DER and PEM, and tables of certificates',
  format: 'binary',
  dictionary: [
    '-----BEGIN CERTIFICATE-----\n',
    '-----END CERTIFICATE-----\n',
    '-----BEGIN X509 CRL-----\n',
    Uint8Array.of(0x30, 0x82),
    Uint8Array.of(0x17, 0x0d),
    Uint8Array.of(0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01),
  ],
  seeds: () => [
    SNP_ROOT,
    REVOCATION_LIST,
    EXTENDED_REPORT.subarray(REPORT_SIZE),
    pem('CERTIFICATE', TDX_ROOT),
    pem('X509 CRL', REVOCATION_LIST),
  ],
  run(input) {
    const bytes = bufferOf(input.bytes);
    const [root] = SNP_TRUST.roots;
    eachReader(
      () =>
        parseCertificates(bytes, 'file').map(({ name, commonName }) =>
          expectPlainText(JSON.stringify([name, commonName])),
        ),
      () => parseRevocationLists(bytes, 'file').map(({ isSignedBy }) => isSignedBy(root!.x509.publicKey)),
      () => certificatesInTable(bytes, 'file'),
    );
  },
};

/** An event: register, type, a SHA-384 digest, data. */
function event(register: number, type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + 2 + 48 + 4, register);
  bytes.writeUInt32LE(register, 0);
  bytes.writeUInt32LE(type, 4);
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt16LE(0x0c, 12);
  bytes.writeUInt32LE(data.length, 62);
  return Buffer.concat([bytes, data]);
}

/** The event that names the format: only SHA-384. */
function formatEvent(): Buffer {
  const data = Buffer.alloc(33);
  data.write('Spec ID Event03\0', 'latin1');
  data.writeUInt32LE(1, 24);
  data.writeUInt16LE(0x0c, 28);
  data.writeUInt16LE(48, 30);
  const head = Buffer.alloc(32);
  head.writeUInt32LE(3, 4);
  head.writeUInt32LE(data.length, 28);
  return Buffer.concat([head, data]);
}

export const eventLog: Target = {
  name: 'event-log',
  about: 'event logs of TDX guests (CCEL)',
  format: 'binary',
  dictionary: ['Spec ID Event03\0', Uint8Array.of(0x0c, 0), Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
  seeds: () => [
    formatEvent(),
    Buffer.concat([
      formatEvent(),
      event(1, 0x8000_0001, Buffer.from('variable')),
      event(4, 0xd, Buffer.alloc(0)),
      Buffer.alloc(64, 0xff),
    ]),
  ],
  run(input) {
    const { rtmrs, events } = replayEventLog(bufferOf(input.bytes), 'log');
    if (rtmrs.length !== 4 || rtmrs.some(({ length }) => length !== 48))
      throw new Error('a guest has four registers of 48 bytes');
    if (events > input.bytes.length / 12) throw new Error('there are more events than fit into the log');
  },
};
