/** `nx-igvm wrap` and `nx-igvm update` on files. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { accessOfFiles } from '../files/access';
import { checkNotInputs } from '../files/check-not-inputs';
import { type FileSource, openFileSource } from '../files/file-source';
import { withImage, writeImage } from '../files/igvm-image';
import type { IgvmFile } from '../igvm/model';
import type { EfiArch, SecureBootProfile, SecureBootVariables } from '../loader/ovmf/secure-boot';
import { addPrograms } from '../loader/ovmf/update';
import { describeOvmfTable, type WrapOptions, wrapFirmware } from '../loader/ovmf/wrap';
import { authenticodeSha256 } from '../uki/authenticode';

/** Paths of files and what `nx-igvm wrap` is asked for. */
export interface WrapFilesOptions extends Omit<WrapOptions, 'firmware' | 'vars'> {
  firmware: string;
  vars?: string;
  /** Without it, everything is checked and nothing written. */
  output?: string;
  /** Takes the lines of the firmware's metadata. */
  showTable?: (line: string) => void;
  /** Sees the image before it is written. */
  show?: (file: IgvmFile) => void;
}

/**
 * Wraps firmware in an IGVM file. Firmware and variables are read once, in pieces, beside the few bytes of their metadata.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, and as `wrapFirmware`
 */
export async function wrapFiles({
  firmware,
  vars,
  output,
  showTable,
  show,
  ...options
}: WrapFilesOptions): Promise<void> {
  const inputs = vars === undefined ? [firmware] : [firmware, vars];
  if (output !== undefined) checkNotInputs([output], inputs);
  await withSources(inputs, async ([code, variables]) => {
    if (showTable !== undefined) for (const line of describeOvmfTable(code!)) showTable(line);
    const file = inFile(firmware, () => wrapFirmware({ ...options, firmware: code!, vars: variables }));
    show?.(file);
    if (output !== undefined) await write(file, output, inputs);
  });
}

/** Paths of files and what `nx-igvm update` is asked for. */
export interface UpdateFilesOptions {
  image: string;
  shim?: string;
  kernel?: string;
  /** Whether the programs' hashes are in db. */
  addHashes: boolean;
  /** The certificates in db; none if only hashes shall be there. */
  profile?: SecureBootProfile;
  arch: EfiArch;
  /** May be the image. Without it, everything is checked and nothing written. */
  output?: string;
  show?: (file: IgvmFile) => void;
}

/**
 * Puts programs, and Secure Boot's variables where hashes or a profile are asked for, into an image. Each program is read in pieces,
 * a second time where its hash is asked for: the hash comes before the program in the file.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID, IGVM_IN_DLL,
 *   EFI_DATA_INVALID, and as `addPrograms`
 */
export async function updateFiles(options: UpdateFilesOptions): Promise<void> {
  const { image, shim, kernel, output, show } = options;
  const programs = [shim, kernel].filter((path) => path !== undefined);
  if (output !== undefined) checkNotInputs([output], programs);
  await withImage(
    image,
    async ({ file, source, isFirmwareDll }) => {
      if (isFirmwareDll) {
        throw new IgvmError('IGVM_IN_DLL', 'an image inside a firmware DLL can be read, but not changed');
      }
      const header = new Uint8Array(16);
      source.read(0, header);
      const view = new DataView(header.buffer);
      if (view.getUint32(8, true) + view.getUint32(12, true) >= source.size) {
        throw new IgvmError('IGVM_MALFORMED', 'the file has headers but no data, and so no firmware');
      }
      await withSources(programs, async (sources) => {
        const updated = addPrograms(file, {
          shim: shim === undefined ? undefined : sources[0],
          kernel: kernel === undefined ? undefined : sources.at(-1),
          secureBoot: secureBootOf(options, sources),
        });
        show?.(updated);
        if (output !== undefined) await write(updated, output, [image, ...programs]);
      });
    },
    // The format's rules are checked for what becomes of it: an image for another architecture may be changed, as by igvm-update.
    { validate: false },
  );
}

function secureBootOf(
  { addHashes, profile, arch }: UpdateFilesOptions,
  programs: readonly FileSource[],
): SecureBootVariables | undefined {
  if (!addHashes && profile === undefined) return undefined;
  const { secureBootVariables } = require('../loader/ovmf/secure-boot') as typeof import('../loader/ovmf/secure-boot');
  const hashes = addHashes ? programs.map((program) => inFile(program.label, () => authenticodeSha256(program))) : [];
  return secureBootVariables({ profile: profile ?? 'none', hashes, arch });
}

/** The folder of an output has to be there, as for igvm-wrap: a misspelt path makes no new folder. */
async function write(file: IgvmFile, output: string, inputs: readonly string[]): Promise<void> {
  if (!existsSync(dirname(resolve(output)))) {
    throw new IgvmError('FILE_UNWRITABLE', 'cannot be written: its folder does not exist', { file: output });
  }
  await writeImage(file, output, { access: accessOfFiles(inputs), parameterOffsets: false });
}

/** Opens files for as long as `use` runs. @throws IgvmError FILE_CHANGED also when one was written to meanwhile */
async function withSources(paths: readonly string[], use: (sources: FileSource[]) => Promise<void>): Promise<void> {
  const opened: FileSource[] = [];
  try {
    for (const path of paths) opened.push(openFileSource(path));
    await use(opened);
    for (const source of opened) source.checkUnchanged();
  } finally {
    for (const source of opened) source.close();
  }
}

function inFile<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: path }) : error;
  }
}
