import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';

export interface FakeQemu {
  name?: string;
  /** The guest's output, to which a newline is added. */
  output?: string;
  exitCode?: number;
  /** Whether it loads IGVM files itself. */
  igvm?: boolean;
  version?: string;
  /** Whether it runs until it is killed. */
  hangs?: boolean;
  /** JavaScript for the guest to run instead of printing `output`. */
  script?: string;
}

/**
 * A program that answers the queries for QEMU's capabilities, and otherwise prints its command line and then `output` in place of a
 * guest. It also prints the size of its kernel, which shows that the file exists.
 */
export function fakeQemu(
  folder: string,
  {
    name = 'qemu-system-x86_64',
    output = '',
    exitCode = 0,
    igvm = false,
    version = '7.2.22',
    hangs = false,
    script = `console.log(${JSON.stringify(output)});`,
  }: FakeQemu = {},
): string {
  const path = join(folder, name);
  const program = `#!${process.execPath}
const args = process.argv.slice(2);
if (args[0] === '-accel') console.log('Accelerators supported in QEMU binary:\\ntcg');
else if (args[0] === '-object' && args[1] === 'help') console.log(${JSON.stringify(igvm ? '  igvm-cfg\n' : '  can-bus\n')});
else if (args[0] === '-version') console.log('QEMU emulator version ${version} (Debian 1:${version})\\nCopyright');
else {
  const kernel = args[args.indexOf('-kernel') + 1];
  console.log('args', JSON.stringify(args), args.includes('-kernel') ? require('node:fs').statSync(kernel).size : '');
  ${script}
  if (${exitCode} !== 0) console.error('fake: does not want to');
  process.exitCode = ${exitCode};
  if (${hangs}) setInterval(() => {}, 1000);
}
`;
  writeFileSync(path, program);
  chmodSync(path, 0o755);
  return path;
}

/** A stream that passes on the output of a guest as text. */
export const collecting = (take: (text: string) => unknown): Writable =>
  new Writable({
    write: (bytes: Buffer, _, done) => {
      take(bytes.toString());
      done();
    },
  });
