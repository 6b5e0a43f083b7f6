import { IgvmError } from '../errors/igvm-error';
import { openFileSource } from '../files/file-source';
import { parseManifest } from '../manifest/load-manifest';
import type { ResourceName } from '../manifest/model';
import { isUki, readUki, type UkiSectionName } from '../uki/uki';
import { buildImage } from './build-image';
import type { BuildReport } from './build-report';
import type { ResourceFile } from './open-resources';

/** A serial console, and a restart after a panic, which ends the run. */
export const DEFAULT_COMMAND_LINE = 'console=ttyS0 panic=-1';

/** An x64 Linux kernel to build an image from, with everything it needs. */
export interface KernelPack {
  /** May be a UKI, which includes an initrd and a command line. */
  kernel: ResourceFile;
  /** Replaces a UKI's. */
  initrd?: ResourceFile;
  /** Replaces a UKI's. Without either, {@link DEFAULT_COMMAND_LINE}. */
  commandLine?: string;
  /** Bytes of the guest's memory, a multiple of PAGE_SIZE; at most 2 GiB, above which VMMs place memory differently. */
  memory: number;
  /** Most processors of the guest. Without it, the VMM has to describe the processors to the kernel. */
  processorCount?: number;
  /** Only its owner may read the image, whoever may read its inputs. */
  private?: boolean;
  /** Path of the image. */
  output: string;
}

/**
 * Builds the NATIVE image of a kernel without a manifest, as from a manifest with a `linux` guest and embedded boot
 * data. It boots unchanged on every VMM that loads such files.
 * @throws IgvmError from the checks of a manifest, the loader and the outputs
 */
export async function packKernel(pack: KernelPack): Promise<BuildReport> {
  const { kernel, commandLine, memory, processorCount, output } = pack;
  const brought = sectionsOf(kernel);
  const initrd = pack.initrd ?? (brought.includes('.initrd') ? kernel : undefined);
  const hasOwnLine = commandLine === undefined && brought.includes('.cmdline');
  const linux = {
    use_initrd: initrd !== undefined,
    command_line: hasOwnLine ? '' : (commandLine ?? DEFAULT_COMMAND_LINE),
    boot_data: 'embedded',
    memory_size: memory,
    processor_count: processorCount,
  };
  const guest = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux } };
  const document = JSON.stringify({ guest_arch: 'x64', guest_configs: [guest] });
  const files: [ResourceName, ResourceFile][] = [['linux_kernel', kernel]];
  if (initrd !== undefined) files.push(['linux_initrd', initrd]);
  if (hasOwnLine) files.push(['linux_command_line', kernel]);
  return unplaced(async () => {
    const { manifest } = parseManifest(document, '');
    return await buildImage({ manifest, resources: new Map(files), output, private: pack.private });
  });
}

/**
 * The sections of a UKI that have contents; none for other files. @throws IgvmError EFI_DATA_INVALID, FILE_UNREADABLE
 */
function sectionsOf({ path, display = path }: ResourceFile): UkiSectionName[] {
  const source = openFileSource(path);
  try {
    return isUki(source) ? readUki(source).sections.flatMap(({ name, size }) => (size > 0 ? [name] : [])) : [];
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: display }) : error;
  } finally {
    source.close();
  }
}

/** There is no manifest file: messages name the wrong value, not its place. */
async function unplaced<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof IgvmError) || error.where.jsonPath === undefined) throw error;
    const { file, gpa, offset, jsonPath } = error.where;
    const { cause, saysAll } = error;
    // The file of a resource is one that the user gave.
    if (jsonPath[0] === 'resources')
      throw new IgvmError(error.code, error.message, { file, gpa, offset }, { cause, saysAll });
    const message = error.code === 'MANIFEST_INVALID' ? `${String(jsonPath.at(-1))}: ${error.message}` : error.message;
    throw new IgvmError(error.code, message, { gpa, offset }, { cause: error, saysAll });
  }
}
