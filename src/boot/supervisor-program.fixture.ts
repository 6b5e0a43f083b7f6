/** Takes the place of supervisor-program.ts under jest (jest.config.js): supervisor.ts, compiled. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from '@swc/core';

/** A TypeScript file of this folder as JavaScript. */
export function compiled(name: string): string {
  return transformSync(readFileSync(join(__dirname, `${name}.ts`), 'utf8'), {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  }).code;
}

function supervisorProgram(): string {
  const code = compiled('supervisor');
  const path = join(tmpdir(), `nx-igvm-supervisor-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.js`);
  if (!existsSync(path)) {
    writeFileSync(`${path}.${process.pid}`, code);
    renameSync(`${path}.${process.pid}`, path);
  }
  return path;
}

export const SUPERVISOR = supervisorProgram();
