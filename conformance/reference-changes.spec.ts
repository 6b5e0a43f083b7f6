import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conformanceCases, placeCase } from './cases';
import { change } from './reference-changes';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-reference-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program that takes the place of a newer igvmfilegen. */
function program(body: string): string {
  const path = join(folder, 'igvmfilegen');
  writeFileSync(path, `#!${process.execPath}\n${body}`);
  chmodSync(path, 0o755);
  return path;
}

function changeOf(name: string, body: string): string | undefined {
  const cwd = join(folder, name);
  mkdirSync(cwd, { recursive: true });
  placeCase(name, cwd, join(folder, 'inputs'));
  const found = conformanceCases().find((each) => each.name === name)!;
  try {
    return change(program(body), found, cwd);
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

const REFUSES = "console.error('FATAL no'); process.exit(1);";
const WRITES = "require('node:fs').writeFileSync('out.igvm', 'other');";

(process.platform === 'win32' ? describe.skip : describe)('a newer igvmfilegen', () => {
  it('is reported if it refuses a case that was built, builds one that was refused, or writes other bytes', () => {
    expect(changeOf('cases-head/sld-shim', REFUSES)).toBe('cases-head/sld-shim: refused now (1): FATAL no');
    expect(changeOf('cases-head/err-sld-shim-be', WRITES)).toBe('cases-head/err-sld-shim-be: built now');
    expect(changeOf('cases-head/sld-shim', WRITES)).toBe(
      'cases-head/sld-shim: other bytes in out-snp.cbor, out-snp.idblock, out-snp.json, out.igvm, out.igvm.map',
    );
    expect(changeOf('cases-head/err-sld-shim-be', REFUSES)).toBeUndefined();
  });
});
