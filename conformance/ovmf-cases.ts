import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NX_IGVM } from '../src/cli/programs';
import { type Outcome, runProgram } from './cases';

/** Recorded runs of igvm-wrap and igvm-update. They are outside the repository and may be missing. */
const OVMF = resolve(__dirname, '..', '..', 'shared', 'ovmf');
const COMMANDS: Readonly<Record<string, string>> = { 'igvm-wrap': 'wrap', 'igvm-update': 'update' };

/** Debian's firmware, by its name in the cases. */
const REAL: Readonly<Record<string, string>> = {
  amdsev: 'OVMF.amdsev.fd',
  inteltdx: 'OVMF.inteltdx.ms.fd',
  code: 'OVMF_CODE_4M.fd',
  vars: 'OVMF_VARS_4M.fd',
};

/** A run of a tool. */
export interface ToolRun {
  tool: string;
  /** Paths from the folder of inputs, and names in braces. */
  args: string[];
  sha256?: string;
}

/** A recorded run, and the earlier runs whose output it uses. */
export interface OvmfCase extends ToolRun {
  pre?: ToolRun[];
  expected: { exit: number; kind?: string; sha256?: string; stderr?: string };
}

/** Whether the cases and the tools that make their inputs are available. */
export const hasOvmfCases = (): boolean =>
  existsSync(join(OVMF, 'make_firmware.py')) &&
  ['python3', 'xz'].every((tool) => spawnSync(tool, ['--version']).status === 0);

/** The recorded cases by name, such as `wrap/opt-snp`. */
export const ovmfCases = (): Map<string, OvmfCase> =>
  new Map(
    ['wrap', 'update'].flatMap((kind) =>
      readdirSync(join(OVMF, 'cases', kind)).map((file): [string, OvmfCase] => [
        `${kind}/${file.replace('.json', '')}`,
        JSON.parse(readFileSync(join(OVMF, 'cases', kind, file), 'utf8')) as OvmfCase,
      ]),
    ),
  );

/** Makes the inputs of all cases in a new folder. */
export function makeOvmfInputs(folder: string): void {
  const made = spawnSync('python3', [join(OVMF, 'make_firmware.py'), folder], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  for (const name of Object.values(REAL)) {
    const { stdout } = spawnSync('xz', ['-dc', join(OVMF, 'firmware', `${name}.xz`)], { maxBuffer: 64 * 1024 * 1024 });
    writeFileSync(join(folder, name), stdout);
  }
}

/**
 * Runs our command in place of a tool.
 * @param inputs folder of {@link makeOvmfInputs}
 * @param pre outputs of the earlier runs
 */
export const runInPlaceOfTool = (
  inputs: string,
  { tool, args }: ToolRun,
  out: string,
  pre: readonly string[],
): Promise<Outcome> =>
  runProgram(
    NX_IGVM,
    [
      COMMANDS[tool] ?? tool,
      ...args.map((arg) =>
        arg.replace(/^\{(\w+)\}$/, (_, name: string) => {
          if (name === 'out') return out;
          const step = /^pre(\d+)$/.exec(name)?.[1];
          return step === undefined ? (REAL[name] ?? name) : (pre[Number(step)] ?? 'missing');
        }),
      ),
    ],
    inputs,
  );
