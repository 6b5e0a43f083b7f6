import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Blocks, needing } from './needing.fixture';

export type AssemblyArchitecture = 'x64' | 'aarch64';

/** The prefix of binutils' programs, and the options for the assembler. */
const BINUTILS: Record<AssemblyArchitecture, { prefix: string; flags: string[] }> = {
  x64: { prefix: process.arch === 'x64' ? '' : 'x86_64-linux-gnu-', flags: ['--64'] },
  aarch64: { prefix: process.arch === 'arm64' ? '' : 'aarch64-linux-gnu-', flags: [] },
};

/** Blocks of tests that call {@link assemble}. */
export function needingAssembler(architecture: AssemblyArchitecture): Blocks {
  const { prefix } = BINUTILS[architecture];
  return needing(...['as', 'objcopy', 'nm'].map((program) => prefix + program));
}

/** The machine code of a source file, and its symbols as printed by nm. */
export function assemble(architecture: AssemblyArchitecture, source: string): { code: Buffer; symbols: string } {
  const { prefix, flags } = BINUTILS[architecture];
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-as-'));
  const [object, binary] = [join(folder, 'o'), join(folder, 'bin')];
  try {
    execFileSync(`${prefix}as`, [...flags, '-I', dirname(source), '-o', object, source], { stdio: 'pipe' });
    execFileSync(`${prefix}objcopy`, ['-O', 'binary', '-j', '.text', object, binary], { stdio: 'pipe' });
    return { code: readFileSync(binary), symbols: execFileSync(`${prefix}nm`, [object], { encoding: 'utf8' }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
