import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { sha256OfFile } from '../src/files/hashes';
import { hasOvmfCases, makeOvmfInputs, type OvmfCase, ovmfCases, runInPlaceOfTool } from './ovmf-cases';

const isThere = hasOvmfCases();
const cases = isThere ? Array.from(ovmfCases(), ([name, each]) => ({ name, each })) : [];
/** igvm-update panics here. Our command replaces the additions of the first update. */
const isSecondUpdate = ({ pre = [], expected }: OvmfCase): boolean =>
  pre.length === 2 && pre[1]!.tool === 'igvm-update' && /duplicate at gpa/.test(expected.stderr ?? '');
const removable = cases.filter(
  ({ each: { tool, pre = [], expected } }) =>
    tool === 'igvm-update' && pre.length === 1 && expected.sha256 !== undefined,
);
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
      if (isSecondUpdate(each)) {
        // The result without the first update.
        const once = join(place, 'pre9.igvm');
        await runInPlaceOfTool(inputs, each, once, [pre[0]!, pre[0]!]);
        expect({ exitCode, sha256: await sha256OfFile(out) }).toEqual({
          exitCode: 0,
          sha256: await sha256OfFile(once),
        });
        return;
      }
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

    it.each(removable)('$name, and removes the programs again', async ({ each }) => {
      const [wrapped, out, removed] = ['wrapped', 'out', 'removed'].map((name) => join(place, `${name}.igvm`));
      await runInPlaceOfTool(inputs, each.pre![0]!, wrapped!, []);
      await runInPlaceOfTool(inputs, each, out!, [wrapped!]);
      expect(await sha256OfFile(out!)).toBe(each.expected.sha256);
      const remove = { tool: 'igvm-update', args: ['--input', '{pre0}', '--remove', '--output', '{out}'] };
      expect(await runInPlaceOfTool(inputs, remove, removed!, [out!])).toMatchObject({ exitCode: 0 });
      expect(await sha256OfFile(removed!)).toBe(each.pre![0]!.sha256);
    });
  },
);
