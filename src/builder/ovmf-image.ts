import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { hexRange } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import { accessOfFiles } from '../files/access';
import { checkNotInputs } from '../files/atomic-output';
import { type FileSource, openFileSource } from '../files/file-source';
import { withImage, writeImage } from '../files/igvm-image';
import { HEADER_LABEL } from '../igvm/headers/header-tables';
import { type Directive, type IgvmFile, PAGE_FLAG, pageTypeName } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
import { PART_NAMES } from '../loader/ovmf/contents';
import type { OvmfItem } from '../loader/ovmf/hob-list';
import { type OwnKeys, readOwnKeys, type SecureBootVariable } from '../loader/ovmf/own-keys';
import { addPrograms, type OvmfPrograms, putIn, removePrograms } from '../loader/ovmf/update';
import type { EfiArch, SecureBootVariables } from '../loader/ovmf/secure-boot';
import { describeOvmfTable, wrapFirmware, type WrapOptions } from '../loader/ovmf/wrap';
import type { SecureBootProfile } from '../manifest/model';
import { PAGE_SIZE } from '../memory/page';
import { authenticodeSha256 } from '../uki/pe';

/** `nx-igvm wrap` and `nx-igvm update` on files. */

/** Paths and options of `nx-igvm wrap`. */
export interface WrapFilesOptions extends Omit<WrapOptions, 'firmware' | 'vars'> {
  firmware: string;
  vars?: string;
  /** Without it, everything is checked, but nothing is written. */
  output?: string;
  /** Receives the lines of the firmware's metadata. */
  showTable?: (line: string) => void;
  /** Called with the image before it is written. */
  show?: (file: IgvmFile) => void;
}

/**
 * Wraps firmware in an IGVM file. Firmware and variables are read once, in pieces, apart from a few bytes of metadata.
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

/** Paths and options of `nx-igvm update`. */
export interface UpdateFilesOptions {
  image: string;
  shim?: string;
  kernel?: string;
  /** Whether the programs' hashes are in db. */
  addHashes: boolean;
  /** The certificates in db; none if db should only hold hashes. */
  profile?: SecureBootProfile;
  arch: EfiArch;
  /** Files with keys for Secure Boot, which replace the built-in keys; those of db are added to the certificates. */
  keys?: Readonly<Partial<Record<SecureBootVariable, string>>>;
  /** May be the image. Without it, everything is checked, but nothing is written. */
  output?: string;
  show?: (file: IgvmFile) => void;
  /** Receives lines about the programs and variables of an earlier update. */
  note?: (message: string) => void;
}

/**
 * Puts programs into an image, and Secure Boot's variables if hashes, a profile or own keys are requested. They replace
 * those of an earlier update. Each program is read in pieces, and a second time if its hash is requested: the hash
 * precedes the program in the file.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, FILE_UNWRITABLE, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID,
 *   IGVM_IN_DLL, EFI_DATA_INVALID, and as `addPrograms`
 */
export async function updateFiles(options: UpdateFilesOptions): Promise<void> {
  const { image, shim, kernel, output, show, note } = options;
  const programs = [shim, kernel].filter((path) => path !== undefined);
  const inputs = [...programs, ...Object.values(options.keys ?? {})];
  if (output !== undefined) checkNotInputs([output], inputs);
  await withOvmfImage(image, (file) =>
    withSources(inputs, async (opened) => {
      const sources = opened.slice(0, programs.length);
      const added = {
        shim: shim === undefined ? undefined : sources[0],
        kernel: kernel === undefined ? undefined : sources.at(-1),
        secureBoot: secureBootOf(options, sources, opened.slice(programs.length)),
      };
      const updated = addPrograms(file, added);
      if (note !== undefined) noteEarlier(file, added, note);
      show?.(updated);
      if (output !== undefined) await write(updated, output, [image, ...inputs]);
    }),
  );
}

/**
 * Removes what an update put into an image. The result is the original file, if `nx-igvm wrap` or igvm-wrap made it.
 * @throws IgvmError as {@link updateFiles}, except for programs
 */
export const removeFromFile = ({
  image,
  output,
  show,
  note,
}: Pick<UpdateFilesOptions, 'image' | 'output' | 'show' | 'note'>): Promise<void> =>
  withOvmfImage(image, async (file) => {
    const { items } = putIn(file);
    const removed = removePrograms(file);
    note?.(items.length === 0 ? 'there was nothing to remove' : `removed ${namesOf(items)}`);
    show?.(removed);
    if (output !== undefined) await write(removed, output, [image]);
  });

const withOvmfImage = (path: string, use: (file: IgvmFile) => Promise<void>): Promise<void> =>
  withImage(
    path,
    async ({ file, source, isFirmwareDll }) => {
      if (isFirmwareDll) {
        throw new IgvmError('IGVM_IN_DLL', 'an image inside a firmware DLL can be read but not changed');
      }
      const header = new Uint8Array(16);
      source.read(0, header);
      const view = new DataView(header.buffer);
      if (view.getUint32(8, true) + view.getUint32(12, true) >= source.size) {
        throw new IgvmError('IGVM_MALFORMED', 'the file has headers but no data, and so no firmware');
      }
      await use(file);
    },
    // The format's rules are checked for the result only: like igvm-update, this may change an image for another architecture.
    { validate: false },
  );

const namesOf = (items: readonly OvmfItem[]): string => items.map(({ name }) => PART_NAMES[name]).join(', ');

/** Reports the effects of an update on an earlier one, whose Secure Boot variables it removes. */
function noteEarlier(file: IgvmFile, added: OvmfPrograms, note: (message: string) => void): void {
  const programs = [added.shim, added.kernel].filter((program) => program !== undefined);
  if (added.secureBoot === undefined && programs.length === 0) return;
  const { items, pages } = putIn(file);
  if (items.length === 0) return;
  if (added.secureBoot === undefined && programs.every(({ size }) => size === 0)) {
    if (pages.end > pages.start) {
      note(
        `warning: the programs are empty, and the pages of ${namesOf(items)} stay in the image; update --remove removes them`,
      );
    }
    return;
  }
  note(`replaced ${namesOf(items)}`);
  if (added.secureBoot === undefined && items.some(({ name }) => name === 'pk')) {
    note('warning: the image no longer has Secure Boot; repeat its options to keep it');
  }
}

function secureBootOf(
  { addHashes, profile, arch, keys = {} }: UpdateFilesOptions,
  programs: readonly FileSource[],
  keyFiles: readonly FileSource[],
): SecureBootVariables | undefined {
  const variables = Object.keys(keys) as SecureBootVariable[];
  if (!addHashes && profile === undefined && variables.length === 0) return undefined;
  if (!addHashes && profile === undefined && keys.db === undefined) {
    throw new IgvmError(
      'EFI_DATA_INVALID',
      'no program could start: your own keys need --secure-boot-db, --add-cert-ms or --add-hash-sha256',
      {},
      { saysAll: true },
    );
  }
  const { OWN_KEYS_OWNER, secureBootVariables } =
    require('../loader/ovmf/secure-boot') as typeof import('../loader/ovmf/secure-boot');
  const own: Partial<Record<SecureBootVariable, OwnKeys>> = {};
  for (const [index, variable] of variables.entries()) {
    const file = keyFiles[index]!;
    own[variable] = inFile(file.label, () => readOwnKeys(file, variable, OWN_KEYS_OWNER));
  }
  const hashes = addHashes ? programs.map((program) => inFile(program.label, () => authenticodeSha256(program))) : [];
  return secureBootVariables({ profile: profile ?? 'none', hashes, arch, own });
}

/** The folder of an output has to exist, as for igvm-wrap, so that a misspelt path creates no new folder. */
async function write(file: IgvmFile, output: string, inputs: readonly string[]): Promise<void> {
  if (!existsSync(dirname(resolve(output)))) {
    throw new IgvmError('FILE_UNWRITABLE', 'cannot be written: its folder does not exist', { file: output });
  }
  await writeImage(file, output, { access: accessOfFiles(inputs), parameterOffsets: false });
}

/** Opens files while `use` runs. @throws IgvmError FILE_CHANGED also when one of them has changed since */
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

/** The contents of an image before it is written: one line for each platform, range of pages and other directive. */
export function imageSummary({ platforms, directives }: IgvmFile): string {
  const lines = platforms.map(
    ({ platformType, compatibilityMask }) =>
      `platform ${platformOf(platformType)?.label ?? platformType}, mask 0x${compatibilityMask.toString(16)}`,
  );
  return [...lines, ...directives.map(line), ''].join('\n');
}

function line(directive: Directive): string {
  if (directive.type === 'unknown') return `header type 0x${directive.headerType.toString(16)}`;
  if (directive.type !== 'pageData') {
    const where = 'gpa' in directive ? ` at 0x${directive.gpa.toString(16)}` : '';
    return `${directive.type === 'parameter' ? directive.kind : HEADER_LABEL[directive.type]}${where}`;
  }
  const { gpa, pageCount, compatibilityMask, dataType, flags, content } = directive;
  const how = (flags & PAGE_FLAG.UNMEASURED) === 0 ? 'measured' : 'not measured';
  const what = content.size === 0 ? 'without data' : 'with data';
  const range = hexRange(gpa, gpa + pageCount * PAGE_SIZE);
  return `${pageTypeName(dataType)} pages ${range}, mask 0x${compatibilityMask.toString(16)}, ${what}, ${how}`;
}
