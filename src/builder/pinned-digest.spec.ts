import { createHash } from 'node:crypto';
import { bytesSource } from '../memory/byte-source';
import { verifyDigest } from './open-resources';

describe('a pinned file', () => {
  const where = { file: 'igvm.json', line: 3, column: 5 };
  const source = bytesSource(Buffer.from('content'));
  const digest = createHash('sha256').update('content').digest('hex');

  it('has the SHA-256 that is stated, in either case', () => {
    expect(() => verifyDigest(source, 'k', { sha256: digest, where })).not.toThrow();
    expect(() => verifyDigest(source, 'k', { sha256: digest.toUpperCase(), where })).not.toThrow();
  });

  it('is refused with both digests, at the place that states one', () => {
    const other = '0'.repeat(64);
    expect(() => verifyDigest(source, 'k', { sha256: other, where })).toThrow(
      expect.objectContaining({
        code: 'RESOURCE_DIGEST',
        message: `k has the SHA-256 ${digest}, not ${other}`,
        where,
      }),
    );
  });
});
