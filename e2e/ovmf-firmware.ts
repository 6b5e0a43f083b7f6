/** Real firmware for tests, and UKIs for it to start. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readOvmfTable } from '../src/loader/formats/ovmf-table';
import { bytesSource } from '../src/memory/byte-source';
import { REPOSITORY } from './harness/template';
import { runOk } from './harness/run';

/** Paths of OVMF in distributions: code, and a variable store. */
const INSTALLED = [
  ['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'],
  ['/usr/share/edk2/ovmf/OVMF_CODE.fd', '/usr/share/edk2/ovmf/OVMF_VARS.fd'],
  ['/usr/share/edk2/x64/OVMF_CODE.4m.fd', '/usr/share/edk2/x64/OVMF_VARS.4m.fd'],
] as const;

/** The installed OVMF; undefined if there is none. */
export function installedOvmf(): { code: string; vars: string } | undefined {
  const found = INSTALLED.find((paths) => paths.every((path) => existsSync(path)));
  return found && { code: found[0], vars: found[1] };
}

/** Debian's firmware in a folder beside the repository, which may be missing. */
const BESIDE = resolve(REPOSITORY, '..', 'shared', 'ovmf', 'firmware', 'OVMF.amdsev.fd.xz');

/** Firmware that starts a program from an IGVM file (edk2-stable202511 or newer); undefined if there is none. */
export function ovmfWithIgvm(): Buffer | undefined {
  const candidates = ['/usr/share/ovmf/OVMF.amdsev.fd', '/usr/share/OVMF/OVMF.amdsev.fd', BESIDE].filter((path) =>
    existsSync(path),
  );
  return candidates.map(unpacked).find((firmware) => {
    const regions = firmware && readOvmfTable(bytesSource(firmware));
    return regions?.some(({ kind }) => kind === 'hobArea') === true;
  });
}

function unpacked(path: string): Buffer | undefined {
  if (!path.endsWith('.xz')) return readFileSync(path);
  const { status, stdout } = spawnSync('xz', ['-dc', path], { maxBuffer: 64 * 1024 * 1024 });
  return status === 0 ? stdout : undefined;
}

export const UKI_STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';

/** The content of a UKI: sections by name, as files. */
export interface UkiParts {
  kernel: string;
  initrd: string;
  commandLine: string;
}

/** Makes a UKI from systemd's stub, like ukify: each section follows the previous one. */
export async function makeUki(output: string, { kernel, initrd, commandLine }: UkiParts): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-uki-'));
  try {
    const written = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const sections: [name: string, file: string][] = [
      ['.osrel', written('osrel', 'ID=test\nPRETTY_NAME="Test of nx-igvm"\nVERSION_ID=1\n')],
      ['.cmdline', written('cmdline', commandLine)],
      ['.linux', kernel],
      ['.initrd', initrd],
    ];
    let address = 0x100_0000;
    const args = sections.flatMap(([name, file]) => {
      const at = address;
      address += Math.ceil(statSync(file).size / 0x1000) * 0x1000;
      return [`--add-section=${name}=${file}`, `--change-section-vma=${name}=0x${at.toString(16)}`];
    });
    await runOk('objcopy', [...args, UKI_STUB, output], { cwd: folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
