import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { sha256OfFile } from '../src/files/sha256';
import { hasOvmfCases, makeOvmfInputs, ovmfCases, runInPlaceOfTool } from './ovmf-cases';

const isThere = hasOvmfCases();
const cases = isThere ? Array.from(ovmfCases(), ([name, each]) => ({ name, each })) : [];
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-ovmf-'));
const inputs = join(folder, 'inputs');

beforeAll(() => {
  if (isThere) makeOvmfInputs(inputs);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

skippedFor(isThere ? undefined : 'python3, xz and the cases of igvm-wrap and igvm-update').describe(
  'nx-igvm in place of virtfw-igvm-tools',
  () => {
    let place: string;
    beforeEach(() => void (place = mkdtempSync(join(folder, 'case-'))));
    afterEach(() => rmSync(place, { recursive: true, force: true }));

    it.each(cases)('$name', async ({ each }) => {
      const pre: string[] = [];
      for (const step of each.pre ?? []) {
        const out = join(place, `pre${pre.length}.igvm`);
        expect(await runInPlaceOfTool(inputs, step, out, pre)).toMatchObject({ exitCode: 0 });
        expect(await sha256OfFile(out)).toBe(step.sha256);
        pre.push(out);
      }
      const out = join(place, 'out.igvm');
      const { exitCode, stderr } = await runInPlaceOfTool(inputs, each, out, pre);
      const { exit, kind, sha256 } = each.expected;
      if (exit === 0) {
        expect({ exitCode, errors: /^error/m.test(stderr) }).toEqual({ exitCode: 0, errors: false });
        expect(existsSync(out) ? await sha256OfFile(out) : undefined).toBe(sha256);
      } else {
        expect(exitCode).toBe(kind === 'usage' ? 2 : 1);
        expect(stderr).toMatch(kind === 'usage' ? /^error: / : /^error: .* \[[A-Z_]+\]\n/);
        expect(stderr).not.toMatch(/^ +at /m);
        expect(existsSync(out)).toBe(false);
      }
      expect(readdirSync(place).filter((name) => !/^(?:pre\d+|out)\.igvm$/.test(name))).toEqual([]);
    });
  },
);
