import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { skippedFor } from '../src/boot/needing.fixture';
import { NX_IGVM } from '../src/cli/nx-igvm-program';
import { sha256OfFile } from '../src/files/sha256';
import { runProgram } from './run-program';

/** What igvm-wrap and igvm-update really did: data beside the repository, where its owners have it. */
const OVMF = resolve(__dirname, '..', '..', 'shared', 'ovmf');
const COMMANDS: Readonly<Record<string, string>> = { 'igvm-wrap': 'wrap', 'igvm-update': 'update' };

interface Run {
  tool: string;
  args: string[];
  sha256?: string;
}

interface Case extends Run {
  pre?: Run[];
  expected: { exit: number; kind?: string; sha256?: string };
}

const isThere =
  existsSync(join(OVMF, 'make_firmware.py')) &&
  ['python3', 'xz'].every((tool) => spawnSync(tool, ['--version']).status === 0);
const cases = isThere
  ? ['wrap', 'update'].flatMap((kind) =>
      readdirSync(join(OVMF, 'cases', kind)).map((file) => ({
        name: `${kind}/${file.replace('.json', '')}`,
        each: JSON.parse(readFileSync(join(OVMF, 'cases', kind, file), 'utf8')) as Case,
      })),
    )
  : [];

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-ovmf-'));
const inputs = join(folder, 'inputs');

/** Debian's firmware by its name in the cases. */
const REAL: Readonly<Record<string, string>> = {
  amdsev: 'OVMF.amdsev.fd',
  inteltdx: 'OVMF.inteltdx.ms.fd',
  code: 'OVMF_CODE_4M.fd',
  vars: 'OVMF_VARS_4M.fd',
};

beforeAll(() => {
  if (!isThere) return;
  const made = spawnSync('python3', [join(OVMF, 'make_firmware.py'), inputs], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  for (const name of Object.values(REAL)) {
    const { stdout } = spawnSync('xz', ['-dc', join(OVMF, 'firmware', `${name}.xz`)], { maxBuffer: 64 * 1024 * 1024 });
    writeFileSync(join(folder, name), stdout);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs our command in place of a tool. */
const runOurs = ({ tool, args }: Run, out: string, pre: readonly string[]) =>
  runProgram(
    NX_IGVM,
    [
      COMMANDS[tool] ?? tool,
      ...args.map((arg) =>
        arg.replace(/^\{(\w+)\}$/, (_, name: string) => {
          if (name === 'out') return out;
          const step = /^pre(\d+)$/.exec(name)?.[1];
          return step === undefined ? join(folder, REAL[name] ?? name) : (pre[Number(step)] ?? 'missing');
        }),
      ),
    ],
    inputs,
  );

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
        expect(await runOurs(step, out, pre)).toMatchObject({ exitCode: 0 });
        expect(await sha256OfFile(out)).toBe(step.sha256);
        pre.push(out);
      }
      const out = join(place, 'out.igvm');
      const { exitCode, stderr } = await runOurs(each, out, pre);
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
