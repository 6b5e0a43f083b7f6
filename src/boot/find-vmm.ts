import { execFile, type ExecFileException } from 'node:child_process';
import { basename } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { findProgram } from '../files/find-program';
import { CLOUD_HYPERVISOR, QEMU, type Vmm, type VmmCapabilities, type VmmName } from './vmm';
import {
  CLOUD_HYPERVISOR_PACKAGE,
  howToInstall,
  QEMU_PACKAGE,
  type SystemPackage,
  thisSystem,
} from './system-packages';

/** In the order of the search. */
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

/** Milliseconds. A VMM that takes longer to answer is considered hung. */
const ANSWER_TIME = 10_000;

/** Where to search for a VMM. */
export interface VmmSearch {
  /** Folders in the form of the environment variable PATH, which is the default. */
  search?: string;
  /** Ends the search, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * The requested VMM, or the first installed one, with its capabilities, for which its program is asked. A program that doesn't answer
 * is killed.
 * @throws IgvmError VMM_MISSING, VMM_FAILED when the program doesn't state its capabilities
 */
export async function findVmm(
  asked: { vmm?: VmmName; vmmPath?: string },
  { search = process.env.PATH ?? '', signal }: VmmSearch = {},
): Promise<InstalledVmm> {
  const { vmm, path } = findProgramOf(asked, search);
  const answers: string[] = [];
  for (const args of vmm.questions) answers.push(await ask(vmm, path, args, signal));
  return { vmm, path, capabilities: vmm.capabilities(answers) };
}

/** @throws IgvmError VMM_MISSING, BOOT_OPTION */
function findProgramOf(
  { vmm: name, vmmPath }: { vmm?: VmmName; vmmPath?: string },
  search: string,
): { vmm: Vmm; path: string } {
  if (vmmPath !== undefined) {
    const vmm = name === undefined ? vmmOfProgram(vmmPath) : vmmNamed(name);
    const path = findProgram(vmmPath, search);
    if (path === undefined) throw new IgvmError('VMM_MISSING', 'there is no such program', { file: vmmPath });
    return { vmm, path };
  }
  const wanted = name === undefined ? VMMS : [vmmNamed(name)];
  for (const vmm of wanted) {
    const path = vmm.programs.map((program) => findProgram(program, search)).find((found) => found !== undefined);
    if (path !== undefined) return { vmm, path };
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

/** Chosen by the program's name. Everything except Cloud Hypervisor is treated as QEMU. */
const vmmOfProgram = (path: string): Vmm =>
  basename(path).startsWith(CLOUD_HYPERVISOR.name) ? CLOUD_HYPERVISOR : QEMU;

/** The output of a VMM's program for a query. @throws IgvmError VMM_FAILED, the signal's reason */
function ask(vmm: Vmm, path: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  // A hung program may ignore SIGTERM, which Node's own `signal` would send.
  const options = { encoding: 'utf8', timeout: ANSWER_TIME, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(path, args, options, (error, stdout, stderr) => {
      signal?.removeEventListener('abort', onAbort);
      if (error === null) return resolve(stdout);
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const question = `${vmm.label} failed when asked for "${args.join(' ')}"`;
      const message = `${question}: ${whyNoAnswer(error, stderr)}`;
      reject(new IgvmError('VMM_FAILED', message, { file: path }, { cause: error }));
    });
    const onAbort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) onAbort();
  });
}

/** The last message of a program that failed, or else how it failed. */
function whyNoAnswer({ killed, code, signal, message }: ExecFileException, stderr: string): string {
  if (killed === true) return `it did not answer within ${ANSWER_TIME / 1000} s`;
  const said = stderr.trim().split('\n').at(-1) ?? '';
  if (said !== '') return said;
  return typeof code === 'number' ? `exit code ${code}` : (signal ?? code ?? message);
}
