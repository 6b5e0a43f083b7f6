// Kernel and boot shim for the benchmark: the conformance suite's synthetic ones, so that only the initrd counts.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformFileSync } from '@swc/core';

const require = createRequire(import.meta.url);
const conformance = join(dirname(fileURLToPath(import.meta.url)), '..', 'conformance');

// The generator is TypeScript that only tests load; here it is compiled in memory as jest does it.
require.extensions['.ts'] = (module, file) => {
  const { code } = transformFileSync(file, {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  });
  module._compile(code, file);
};

/** Writes the synthetic inputs into `folder` and returns the resources that do not depend on the size of the initrd. */
export function writeInputs(folder) {
  const { makeInputs } = require(join(conformance, 'make-inputs.ts'));
  makeInputs(folder, ['vmlinux-x64.elf', 'openhcl_boot-x64.elf']);
  return {
    linux_kernel: join(folder, 'vmlinux-x64.elf'),
    underhill_kernel: join(folder, 'vmlinux-x64.elf'),
    openhcl_boot: join(folder, 'openhcl_boot-x64.elf'),
  };
}
