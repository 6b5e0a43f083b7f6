import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyDigest } from './pinned-digest';

describe('a pinned file', () => {
  const where = { file: 'igvm.json', line: 3, column: 5 };
  let folder: string;
  let path: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'igvm-pin-'));
    path = join(folder, 'k');
    writeFileSync(path, 'content');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const digest = createHash('sha256').update('content').digest('hex');

  it('has the SHA-256 that is stated, in either case', () => {
    expect(() => verifyDigest(path, 'k', digest, where)).not.toThrow();
    expect(() => verifyDigest(path, 'k', digest.toUpperCase(), where)).not.toThrow();
  });

  it('is refused with both digests, at the place that states one', () => {
    const other = '0'.repeat(64);
    expect(() => verifyDigest(path, 'k', other, where)).toThrow(
      expect.objectContaining({
        code: 'RESOURCE_DIGEST',
        message: `k has the SHA-256 ${digest}, not ${other}`,
        where,
      }),
    );
  });

  it('is refused there when it can not be read', () => {
    expect(() => verifyDigest(folder, 'folder', digest, where)).toThrow(
      expect.objectContaining({ code: 'FILE_UNREADABLE', message: 'folder cannot be read (EISDIR)', where }),
    );
  });
});
