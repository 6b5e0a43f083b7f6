import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A program that answers QEMU's questions and prints its command line and then `output` in place of a guest. It looks at
 * its kernel, to show that it was there.
 */
export function fakeQemu(
  folder: string,
  { name = 'qemu-system-x86_64', output = '', exitCode = 0, igvm = false, hangs = false } = {},
): string {
  const path = join(folder, name);
  const script = `#!${process.execPath}
const args = process.argv.slice(2);
if (args[0] === '-accel') console.log('Accelerators supported in QEMU binary:\\ntcg');
else if (args[0] === '-object' && args[1] === 'help') console.log(${JSON.stringify(igvm ? '  igvm-cfg\n' : '  can-bus\n')});
else {
  const kernel = args[args.indexOf('-kernel') + 1];
  console.log('args', JSON.stringify(args), args.includes('-kernel') ? require('node:fs').statSync(kernel).size : '');
  console.log(${JSON.stringify(output)});
  if (${exitCode} !== 0) console.error('fake: does not want to');
  process.exitCode = ${exitCode};
  if (${hangs}) setInterval(() => {}, 1000);
}
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}
