import { execFileSync, type SpawnSyncReturns } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { basename, delimiter, isAbsolute, join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { CLOUD_HYPERVISOR } from './cloud-hypervisor';
import { QEMU } from './qemu';
import {
  CLOUD_HYPERVISOR_PACKAGE,
  howToInstall,
  QEMU_PACKAGE,
  type SystemPackage,
  thisSystem,
} from './system-packages';
import type { Vmm, VmmCapabilities, VmmName } from './vmm';

/** In the order in which they are looked for. */
export const VMMS: readonly Vmm[] = [QEMU, CLOUD_HYPERVISOR];

const VMM_PACKAGES: Readonly<Record<VmmName, SystemPackage>> = {
  qemu: QEMU_PACKAGE,
  'cloud-hypervisor': CLOUD_HYPERVISOR_PACKAGE,
};

/** A VMM on this machine. */
export interface InstalledVmm {
  vmm: Vmm;
  /** Path of its program. */
  path: string;
  capabilities: VmmCapabilities;
}

/** A VMM that doesn't answer such a question at once hangs. Milliseconds. */
const ANSWER_TIME = 10_000;

/**
 * The VMM that is asked for, or the first that is installed.
 * @param search folders, as in the environment variable PATH
 * @throws IgvmError VMM_MISSING, VMM_FAILED when it doesn't say what it can do
 */
export function findVmm(
  { vmm: name, vmmPath }: { vmm?: VmmName; vmmPath?: string },
  search: string = process.env.PATH ?? '',
): InstalledVmm {
  if (vmmPath !== undefined) {
    const vmm = name === undefined ? vmmOfProgram(vmmPath) : vmmNamed(name);
    const path = findProgram(vmmPath, search);
    if (path === undefined) throw new IgvmError('VMM_MISSING', 'there is no such program', { file: vmmPath });
    return installed(vmm, path);
  }
  const wanted = name === undefined ? VMMS : [vmmNamed(name)];
  for (const vmm of wanted) {
    const path = vmm.programs.map((program) => findProgram(program, search)).find((found) => found !== undefined);
    if (path !== undefined) return installed(vmm, path);
  }
  const labels = wanted.map(({ label }) => label).join(' or ');
  const howTo = howToInstall(
    wanted.map((vmm) => VMM_PACKAGES[vmm.name]),
    { ...thisSystem(), search },
  );
  throw new IgvmError('VMM_MISSING', `${labels} is not installed; ${howTo}`);
}

function vmmNamed(name: string): Vmm {
  const vmm = VMMS.find((each) => each.name === name);
  if (vmm === undefined) {
    const names = VMMS.map((each) => each.name).join(' or ');
    throw new IgvmError('BOOT_OPTION', `vmm is "${name}", but must be ${names}`);
  }
  return vmm;
}

/** By the program's name; what is not called Cloud Hypervisor is taken for a QEMU. */
const vmmOfProgram = (path: string): Vmm =>
  basename(path).startsWith(CLOUD_HYPERVISOR.name) ? CLOUD_HYPERVISOR : QEMU;

function installed(vmm: Vmm, path: string): InstalledVmm {
  const ask = (args: readonly string[]): string => {
    try {
      return execFileSync(path, args, { encoding: 'utf8', timeout: ANSWER_TIME, stdio: ['ignore', 'pipe', 'pipe'] });
    } catch (error) {
      throw new IgvmError(
        'VMM_FAILED',
        `${vmm.label} failed when asked for "${args.join(' ')}": ${whyNoAnswer(error)}`,
        { file: path },
        { cause: error },
      );
    }
  };
  return { vmm, path, capabilities: vmm.capabilities(ask) };
}

/** The last that a program said to its failure, or else how it failed. */
function whyNoAnswer(error: unknown): string {
  const { code, stderr, status, signal } = error as Partial<SpawnSyncReturns<string>> & NodeJS.ErrnoException;
  if (code === 'ETIMEDOUT') return `it did not answer within ${ANSWER_TIME / 1000} s`;
  const said = stderr?.trim().split('\n').at(-1) ?? '';
  if (said !== '') return said;
  if (typeof status === 'number') return `exit code ${status}`;
  return signal ?? code ?? String(error);
}

/** The path of a program: as it is when it names a folder, else in the folders of `search`. */
function findProgram(program: string, search: string): string | undefined {
  const suffixes = process.platform === 'win32' ? ['', '.exe'] : [''];
  const hasFolder = isAbsolute(program) || program.includes('/') || program.includes('\\');
  const folders = hasFolder ? [''] : search.split(delimiter).filter((folder) => folder !== '');
  for (const folder of folders) {
    for (const suffix of suffixes) {
      const path = folder === '' ? program + suffix : join(folder, program + suffix);
      if (isProgram(path)) return path;
    }
  }
  return undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
