// What no builder can beat: hashing the bytes once on one core with OpenSSL, in the form the launch measurement forces.
// Run as a program: node bench/limits.mjs KIND FILE, KIND one of snp, vbs, tdx.
import { createHash, hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const PAGE = 4096;
const CHUNK = 256 * PAGE;

const FORMS = {
  /** SEV-SNP: SHA-384 of each page, and a chain of SHA-384 over 112-byte page records (SNP ABI, 8.17.2). */
  snp: () => {
    const record = Buffer.alloc(112);
    return (page) => {
      hash('sha384', page, 'buffer').copy(record, 48);
      hash('sha384', record, 'buffer').copy(record, 0);
    };
  },
  /** VBS: a chain of SHA-256 whose every link covers the page itself. */
  vbs: () => {
    const chunk = Buffer.alloc(32 + 16 + PAGE);
    return (page) => {
      page.copy(chunk, 48);
      hash('sha256', chunk, 'buffer').copy(chunk, 0);
    };
  },
  /** TDX: one SHA-384 over a 128-byte record a page and a 128-byte record before each 256 bytes (TDX module, MR.EXTEND). */
  tdx: () => {
    const digest = createHash('sha384');
    const stream = Buffer.alloc(128 + (PAGE / 256) * 384);
    return (page) => {
      for (let part = 0; part < PAGE / 256; part++)
        page.copy(stream, 128 + part * 384 + 128, part * 256, part * 256 + 256);
      digest.update(stream);
    };
  },
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [kind, file] = process.argv.slice(2);
  const next = FORMS[kind]();
  const chunk = Buffer.alloc(CHUNK);
  const fd = openSync(file, 'r');
  for (let size = readSync(fd, chunk); size > 0; size = readSync(fd, chunk)) {
    chunk.fill(0, size);
    for (let at = 0; at < size; at += PAGE) next(chunk.subarray(at, at + PAGE));
  }
  closeSync(fd);
}
