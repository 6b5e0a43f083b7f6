import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzJob } from './job';
import { WatchedFuzzer } from './watch';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-fuzz-'));
const watched = new WatchedFuzzer(require.resolve('./planted.fixture'), { hang: 3000, heap: 32 });
const job = (target: string): FuzzJob => ({
  kind: 'fuzz',
  target,
  seed: 1,
  budget: { executions: 20 },
  corpus: join(folder, 'corpus'),
  findings: join(folder, 'findings', target),
});

afterAll(async () => {
  await watched.close();
  rmSync(folder, { recursive: true });
});

describe('a watched fuzzer', () => {
  it.each([
    ['hangs', 'hang'],
    ['eats-memory', 'out-of-memory'],
  ])('notices a target that %s, and keeps the input', async (target, kind) => {
    const { findings } = await watched.fuzz(job(target));
    expect(findings.map((finding) => finding.kind)).toEqual([kind]);
    expect([...readFileSync(findings[0]?.path ?? '')]).toEqual([1, 2, 3]);
  });

  it('continues with other targets, several in one thread', async () => {
    for (let time = 0; time < 2; time++) {
      const result = await watched.fuzz(job('behaves'));
      expect(result.findings).toEqual([]);
      expect(result.executions).toBeGreaterThanOrEqual(20);
    }
  });
});
