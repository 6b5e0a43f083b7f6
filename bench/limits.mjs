// The lower limit for any builder: hashing pages once on one core with OpenSSL, in the form that the format requires.
// Run as a program: node bench/limits.mjs FORM FILE, or for "chain" a number of pages (bench/guest-pages.mjs makes both).
import { createHash, hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

const PAGE = 4096;
const CHUNK = 256 * PAGE;

/** SEV-SNP's chain: a record of 112 bytes for each page, which begins with the digest of the previous one (SNP ABI, 8.17.2). */
const record = Buffer.alloc(112);
const link = () => hash('sha384', record, 'buffer').copy(record, 0);

const perPage = (each) => (chunk, size) => {
  for (let at = 0; at < size; at += PAGE) each(chunk.subarray(at, at + PAGE));
};

const FORMS = {
  /** SEV-SNP, pages with content: the SHA-384 of each page, and its link in the chain. */
  snp: () =>
    perPage((page) => {
      hash('sha384', page, 'buffer').copy(record, 48);
      link();
    }),
  /** SEV-SNP and TDX under OpenHCL, memory shared with the host: SHA-384 of each page, and of all together. */
  shared: () => {
    const all = createHash('sha384');
    const each = perPage((page) => hash('sha384', page, 'buffer'));
    return (chunk, size) => {
      all.update(chunk.subarray(0, size));
      each(chunk, size);
    };
  },
  /** VBS: a SHA-256 chain in which each link covers the page itself. */
  vbs: () => {
    const covered = Buffer.alloc(32 + 32 + PAGE);
    return perPage((page) => {
      page.copy(covered, 64);
      hash('sha256', covered, 'buffer').copy(covered, 0);
    });
  },
  /** TDX: one SHA-384 over a 128-byte record a page and a 128-byte record before each 256 bytes (TDX module, MR.EXTEND). */
  tdx: () => {
    const digest = createHash('sha384');
    const stream = Buffer.alloc(128 + (PAGE / 256) * 384);
    return perPage((page) => {
      for (let part = 0; part < PAGE / 256; part++)
        page.copy(stream, 128 + part * 384 + 128, part * 256, part * 256 + 256);
      digest.update(stream);
    });
  },
};

const [form, what] = process.argv.slice(2);
if (form === 'chain') {
  for (let left = Number(what); left > 0; left--) link();
} else {
  const next = FORMS[form]();
  const chunk = Buffer.alloc(CHUNK);
  const fd = openSync(what, 'r');
  for (let size = readSync(fd, chunk); size > 0; size = readSync(fd, chunk)) next(chunk, size);
  closeSync(fd);
}
