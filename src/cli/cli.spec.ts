import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from '@swc/core';

/** Runs a script with the environment of a command; gives its exit code and what it wrote to stderr. */
function command(script: string, closed: 'stdout' | 'stderr'): Promise<{ code: number | null; stderr: string }> {
  const source = readFileSync(join(__dirname, 'cli.ts'), 'utf8');
  const { code } = transformSync(source, { jsc: { parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } });
  const child = spawn(process.execPath, ['-e', `${code}; const environment = exports.processEnvironment(); ${script}`]);
  child[closed].destroy();
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => void (stderr += text.toString()));
  child.stdout.resume();
  return new Promise((resolve) => child.on('close', (exitCode) => resolve({ code: exitCode, stderr })));
}

describe('a command', () => {
  it('ends quietly when nobody reads its output any more', async () => {
    const endless = "setInterval(() => environment.stdout('x'.repeat(2 ** 16)), 1)";
    expect(await command(endless, 'stdout')).toEqual({ code: 141, stderr: '' });
  });

  it('goes on when nobody reads its messages', async () => {
    const script = `const write = () => process.stderr.write('warning', (error) => {
      setImmediate(error ? () => process.exit(7) : write);
    });
    write();`;
    expect(await command(script, 'stderr')).toEqual({ code: 7, stderr: '' });
  });
});
