import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NX_IGVM, run as runProgram } from '../cli/programs';
import type { amdChain } from './amd-chain.fixture';

/** The folder of the test, emptied after each. */
let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-evidence-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** A path in the folder of the test. */
export const inFolder = (name: string): string => join(folder, name);

/** Writes a file of the test. @returns its path */
export const put = (name: string, bytes: Uint8Array | string): string => {
  writeFileSync(inFolder(name), bytes);
  return inFolder(name);
};

export interface Outcome {
  code: number;
  verdict: string;
  /** `name: detail` of each failed check. */
  failed: string[];
  passed: string[];
  text: string;
}

/** Runs `nx-igvm verify-report`. @returns its result */
export async function verifyFiles(...args: string[]): Promise<Outcome> {
  let out = '';
  let err = '';
  const environment = {
    cwd: folder,
    stdout: (text: string) => void (out += text),
    stderr: (text: string) => void (err += text),
    isInteractive: false,
  };
  const code = await runProgram(NX_IGVM, ['verify-report', ...args, '--json'], environment);
  if (err !== '') return { code, verdict: '', failed: [], passed: [], text: err };
  const { verdict, checks } = JSON.parse(out) as {
    verdict: string;
    checks: { name: string; result: string; detail: string }[];
  };
  const withResult = (wanted: string) =>
    checks.filter(({ result }) => result === wanted).map(({ name, detail }) => `${name}: ${detail}`);
  return { code, verdict, failed: withResult('failed'), passed: withResult('passed'), text: out };
}

export type Chain = ReturnType<typeof amdChain>;

/** Verifies a report with the test's own chain, whose root is trusted. */
export function verifyOwn(report: Uint8Array, { ark, ask, leaf }: Chain, ...args: string[]): Promise<Outcome> {
  const chain = ['--root', put('ark.der', ark.der), '--certificate', put('ask.der', ask.der)];
  const key = ['--certificate', put('leaf.der', leaf.der), '--at', '2026-03-01T12:00:00Z'];
  return verifyFiles(put('report.bin', report), ...chain, ...key, ...args);
}
