// `IGVM_WRAP=path IGVM_UPDATE=path node bench/ovmf.mjs [--firmware OVMF.fd] [--mib 200] [--rounds 3] [--hashes]`
// Pairs `nx-igvm wrap`, `update` and the build of an ovmf image with virtfw's igvm-wrap and igvm-update on the same files.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { settled, writeNoise } from './conditions.mjs';
import { measure, paired } from './measure.mjs';

const MIB = 1024 * 1024;
/** The section's offset in `efiProgram`. */
const HEADERS = 0x200;
const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
require('../scripts/typescript.cjs');
const { efiProgram, ovmfFirmware, SEV_REGIONS } = require('../src/loader/ovmf/ovmf-firmware.fixture.ts');

const { values: options } = parseArgs({
  options: {
    firmware: { type: 'string' },
    mib: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '3' },
    hashes: { type: 'boolean', default: false },
  },
});
const size = Number(options.mib);
const { IGVM_WRAP: wrapTool, IGVM_UPDATE: updateTool } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-bench-'));
const at = (name) => join(folder, name);
const node = (...args) =>
  measure(process.execPath, [
    '--require',
    join(here, 'report-usage.cjs'),
    join(here, '..', 'dist', 'cli', 'nx-igvm.js'),
    ...args,
  ]);

/** An EFI program with a section of random bytes. It is never in memory, because a child's peak starts at its parent's memory. */
function writeProgram(path, bytes) {
  writeNoise(path, bytes + HEADERS);
  const header = Buffer.from(efiProgram(''));
  const section = header.indexOf('.text');
  for (const field of [8, 16]) header.writeUInt32LE(bytes, section + field);
  const fd = openSync(path, 'r+');
  writeSync(fd, header, 0, HEADERS, 0);
  closeSync(fd);
}

/** Adds the costs of two runs. */
const both = async (first, second) => {
  const [a, b] = [await first(), await second()];
  return { wall: a.wall + b.wall, cpu: a.cpu + b.cpu, peak: Math.max(a.peak, b.peak) };
};

try {
  const firmware = options.firmware ? resolve(options.firmware) : at('OVMF.fd');
  if (!options.firmware) writeFileSync(firmware, ovmfFirmware({ size: 4 * MIB, sev: SEV_REGIONS }));
  writeProgram(at('uki.efi'), size * MIB);
  mkdirSync(at('out'));
  const snp = { snp: { policy: 0x30000, enable_debug: false, injection_type: 'normal' } };
  const ovmf = options.hashes ? { secure_boot: { hashes: true } } : {};
  const guests = ['none', snp].map((isolation) => ({
    guest_svn: 1,
    max_vtl: 0,
    isolation_type: isolation,
    image: { ovmf },
  }));
  writeFileSync(
    at('igvm.json'),
    JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources: { ovmf_code: firmware, uki: 'uki.efi' } }),
  );
  const wrapArgs = (output) => ['--input', firmware, '--native', '--snp', '--output', output];
  const updateArgs = (input, output) => [
    '--input',
    input,
    '--kernel',
    at('uki.efi'),
    '--output',
    output,
    ...(options.hashes ? ['--add-hash-sha256'] : []),
  ];
  const [wrapped, ours, theirs, built] = ['wrapped', 'ours', 'theirs', 'built'].map((name) => at(`out/${name}.igvm`));
  const runs = {
    'nx-igvm wrap, update': () =>
      both(
        () => node('wrap', ...wrapArgs(wrapped)),
        () => node('update', ...updateArgs(wrapped, ours)),
      ),
    'nx-igvm build, with launch digest': () => node('build', at('igvm.json'), '-o', built),
    ...(wrapTool && updateTool
      ? {
          'igvm-wrap, igvm-update': () =>
            both(
              () => measure(wrapTool, wrapArgs(wrapped)),
              () => measure(updateTool, updateArgs(wrapped, theirs)),
            ),
        }
      : {}),
  };
  const results = await paired(
    Number(options.rounds),
    ...Object.values(runs).map((run) => settled(size + 5, at('uki.efi'), run)),
  );
  const tools = results[2];
  for (const [index, name] of Object.keys(runs).entries()) {
    const { wall, cpu, peak } = results[index];
    const faster = tools && index < 2 ? `, ${(tools.wall / wall).toFixed(2)} times as fast as the tools` : '';
    console.log(`${name}: ${wall.toFixed(2)} s, cpu ${cpu.toFixed(2)} s, peak ${(peak / MIB).toFixed(0)} MiB${faster}`);
  }
  for (const other of [built, ...(tools ? [theirs] : [])]) execFileSync('cmp', [ours, other]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
