import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { openFileSource } from '../files/file-source';
import type { ContainerEntries } from './container/container-entries';
import type { InitrdEntry } from './collect-entries';
import type { InitArchitecture } from './guest-init';
import { GUEST_START_PATH, guestStartFile } from './guest-start';
import type { InitrdOptions, ModuleFile } from './load-initrd';

const MODULES = '.guest/modules';

/** `e_machine` of an ELF file (include/uapi/linux/elf-em.h), and `e_type` of a module, which is an object. */
const MACHINES: Record<InitArchitecture, number> = { x64: 62, aarch64: 183 };
const ELF_OBJECT = 1;

/** `/etc/hosts` for an image without one. Container runtimes provide it, and programs rely on the name "localhost". */
const HOSTS = '127.0.0.1 localhost\n::1 localhost\n';

/** Entries that are added implicitly. */
export interface StartEntries {
  /** Entries that are required as they are. */
  added: InitrdEntry[];
  /** Entries that are added unless another one has the same path. */
  defaults: InitrdEntry[];
}

/**
 * The entries that our first program needs in the initramfs: its instructions and kernel modules, and those that runtimes add to a
 * container. Empty if there is neither a container nor an instruction.
 * @throws IgvmError INITRD_ENTRY, FILE_UNREADABLE, CONTAINER_PROCESS
 */
export function startEntries(
  { init, modules = [], network, whereOf }: InitrdOptions,
  container: ContainerEntries | undefined,
): StartEntries {
  const none = { added: [], defaults: [] };
  if (init === undefined || init === 'none') return none;
  const process = container?.process;
  if (process === undefined && network === undefined && modules.length === 0) return none;
  const placed = modules.map((module, index) => moduleEntry(module, index, init));
  const content = guestStartFile({
    modules: placed.map(({ path }) => path),
    ...(network === undefined ? {} : { network }),
    ...(process === undefined ? {} : { process }),
  });
  if (container?.entries.some(({ path }) => path === 'init') === true) {
    throw new IgvmError(
      'INITRD_ENTRY',
      'the image has a file "init" at its top, the place for the first program of nx-igvm: set "init" to "none" if the kernel should start the file of the image',
      whereOf?.(['image']) ?? {},
      { saysAll: true },
    );
  }
  const added = [...placed, file(GUEST_START_PATH, content)];
  const defaults: InitrdEntry[] = [];
  if (process !== undefined) {
    defaults.push(file('etc/hosts', Buffer.from(HOSTS)));
    // Container runtimes create the working directory, owned by the user of the process.
    const path = process.workingDirectory.slice(1);
    const { user: owner, group } = process;
    if (path !== '') defaults.push({ path, type: 'directory', permissions: 0o755, size: 0, owner, group });
  }
  if (network?.nameservers !== undefined) {
    const servers = Buffer.from(network.nameservers.map((address) => `nameserver ${address}\n`).join(''));
    const present = container?.entries.findIndex(({ path }) => path === 'etc/resolv.conf') ?? -1;
    // The one in an image is from the machine that built it.
    if (present !== -1) container?.entries.splice(present, 1);
    defaults.push(file('etc/resolv.conf', servers));
  }
  return { added, defaults };
}

const file = (path: string, content: Uint8Array): InitrdEntry => ({
  path,
  type: 'file',
  permissions: 0o644,
  size: content.length,
  content,
});

/** @throws IgvmError INITRD_ENTRY unless the file is a module for this processor */
function moduleEntry({ path, where }: ModuleFile, index: number, architecture: InitArchitecture): InitrdEntry {
  const source = openFileSource(path);
  try {
    const start = Buffer.alloc(Math.min(20, source.size));
    source.read(0, start);
    const isModule =
      start.length === 20 &&
      start.toString('latin1', 0, 5) === '\x7fELF\x02' &&
      start.readUInt16LE(16) === ELF_OBJECT &&
      start.readUInt16LE(18) === MACHINES[architecture];
    if (!isModule) {
      throw new IgvmError(
        'INITRD_ENTRY',
        `${basename(path)} is not a kernel module for ${architecture}, or is compressed: unpack it first`,
        where ?? { file: path },
      );
    }
    const number = String(index + 1).padStart(3, '0');
    return {
      path: `${MODULES}/${number}-${basename(path)}`,
      type: 'file',
      permissions: 0o644,
      size: source.size,
      source: path,
      stats: statSync(path),
    };
  } finally {
    source.close();
  }
}
