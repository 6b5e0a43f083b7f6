import { unreadable } from '../files/file-failure';
import { readRegularFile } from '../files/regular-file';
import { type ParsedCertificate, parseCertificates } from './certificates';
import { certificatesInTable } from './snp-report';

/** The most bytes of evidence. Reports with certificates have about 10,000. */
export const EVIDENCE_LIMIT = 2 ** 20;

/** The most bytes of revocation lists, which may have a few million, and of event logs, which have 256 KiB. */
export const CRL_LIMIT = 2 ** 24;

/** @throws IgvmError FILE_UNREADABLE */
export function readEvidenceFile(path: string, limit: number): Buffer {
  try {
    return readRegularFile(path, { limit });
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The bytes of evidence, which may also be given as hexadecimal digits. */
export function decodedEvidence(content: Buffer): Buffer {
  const text = content.toString('latin1').replaceAll(/\s/g, '').replace(/^0x/i, '');
  return text.length > 0 && text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text) ? Buffer.from(text, 'hex') : content;
}

/** The certificates in files: in DER, in PEM, or in a table from the host. @throws IgvmError as their readers */
export const certificatesOf = (paths: readonly string[] = []): ParsedCertificate[] =>
  paths.flatMap((path) => {
    const bytes = readEvidenceFile(path, EVIDENCE_LIMIT);
    // A table from the host, such as configfs-tsm's auxblob, has binary offsets where the others have text or a SEQUENCE.
    const isTable =
      bytes.length > 24 && bytes[0] !== 0x30 && bytes.subarray(0, 24).some((byte) => byte >= 0x80 || byte === 0);
    return isTable ? certificatesInTable(bytes, path) : parseCertificates(bytes, path);
  });
