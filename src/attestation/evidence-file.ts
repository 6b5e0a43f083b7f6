import { unreadable } from '../files/file-failure';
import { readRegularFile } from '../files/regular-file';
import { type ParsedCertificate, parseCertificates } from './certificates';
import { certificatesInTable } from './snp-report';

/** Bytes: reports with certificates have some 10,000, revocation lists of large providers a few million. */
export const EVIDENCE_LIMIT = 2 ** 20;

/** Bytes of revocation lists, and of event logs, which have 256 KiB. */
export const CRL_LIMIT = 2 ** 24;

/** @throws IgvmError FILE_UNREADABLE */
export function readEvidenceFile(path: string, limit: number): Buffer {
  try {
    return readRegularFile(path, { limit });
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The bytes of evidence, which may be a text of hexadecimal digits. */
export function decodedEvidence(content: Buffer): Buffer {
  const text = content.toString('latin1').replaceAll(/\s/g, '').replace(/^0x/i, '');
  return text.length > 0 && text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text) ? Buffer.from(text, 'hex') : content;
}

/** The certificates of files: in DER, in PEM, or in a table of the host's. @throws IgvmError as their readers */
export const certificatesOf = (paths: readonly string[] = []): ParsedCertificate[] =>
  paths.flatMap((path) => {
    const bytes = readEvidenceFile(path, EVIDENCE_LIMIT);
    // A table of the host's, as configfs-tsm's auxblob, has binary offsets where the others have text or a SEQUENCE.
    const isTable =
      bytes.length > 24 && bytes[0] !== 0x30 && bytes.subarray(0, 24).some((byte) => byte >= 0x80 || byte === 0);
    return isTable ? certificatesInTable(bytes, path) : parseCertificates(bytes, path);
  });
