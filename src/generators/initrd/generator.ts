import { join, posix, resolve } from 'node:path';
import { type GeneratorCallback, joinPathFragments, type Tree, writeJson } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { PLACEHOLDER } from '../../files/find-program';
import { readRegularFile } from '../../files/regular-file';
import { INITRD_NAMES } from '../../initrd/load-initrd';
import { logger } from '../../plugin/workspace-nx';
import { toSlashes } from '../../plugin/tracked-inputs';
import { initrdTargetName, inWorkspace, ResourceOptions } from '../guest-image/resource-option';
import { initGenerator } from '../init/generator';
import { formatFiles, generateFiles, reportingUserErrors, withoutSkipped } from '../workspace/generate';
import { runTasksInSerial } from '../workspace/install-packages';
import {
  existingProjectName,
  locateProject,
  offsetFromRoot,
  parseTags,
  requireFree,
  writeProjectFile,
} from '../workspace/project-location';

/** Options of `nx g nx-igvm:initrd`, described in schema.json. */
interface InitrdGeneratorSchema {
  name: string;
  directory?: string;
  busybox?: string;
  image?: string;
  tag?: string;
  arch?: 'x64' | 'aarch64';
  compression?: 'none' | 'gzip' | 'zstd';
  useProjectJson?: boolean;
  tags?: string;
  skipFormat?: boolean;
}

/**
 * Creates a project that packs a folder or a container image into an initramfs. The folder gets a busybox and a script for it, or our
 * first program.
 * @param hint whether to print the next step at the end
 */
export function initrdGenerator(
  tree: Tree,
  given: InitrdGeneratorSchema,
  { hint = true } = {},
): Promise<GeneratorCallback> {
  return reportingUserErrors('initrd', async () => {
    const options = withoutSkipped(given, ['busybox', 'image', 'tag']);
    const location = locateProject(tree, options);
    const { root } = location;
    const program = joinPathFragments(root, 'rootfs/bin/busybox');
    requireFree(tree, joinPathFragments(root, 'initrd.json'));
    if (options.image !== undefined && options.busybox !== undefined) {
      throw new IgvmError(
        'GENERATOR_OPTION',
        "--image and --busybox can't be used together: a container image has its own programs",
      );
    }
    if (options.tag !== undefined && options.image === undefined) {
      throw new IgvmError('GENERATOR_OPTION', '--tag selects one of the images in --image, which is not given');
    }
    if (options.busybox !== undefined) requireFree(tree, program);
    const image =
      options.image === undefined ? undefined : await containerImage(tree, root, options.image, options.tag);
    const busybox = options.busybox === undefined ? undefined : readBusybox(tree, options.busybox);

    const install = await initGenerator(tree, { skipFormat: true });
    const name = existingProjectName(tree, root) ?? location.name;
    const link =
      existingProjectName(tree, root) === undefined
        ? writeProjectFile(tree, location, { useProjectJson: options.useProjectJson, tags: parseTags(options.tags) })
        : undefined;
    if (busybox !== undefined) tree.write(program, busybox, { mode: 0o755 });
    const { compression = 'none', arch = 'x64' } = options;
    const folder = joinPathFragments(root, 'rootfs');
    // An existing folder may already have these files.
    const hasBusybox = image === undefined && tree.exists(program);
    const bringsInit = image === undefined && !hasBusybox && !tree.exists(joinPathFragments(folder, 'init'));
    writeJson(tree, joinPathFragments(root, 'initrd.json'), {
      $schema: `${offsetFromRoot(root)}node_modules/nx-igvm/schemas/initrd.schema.json`,
      ...(image === undefined ? { folder: 'rootfs' } : { image }),
      compression,
      ...(bringsInit || (image !== undefined && options.arch !== undefined) ? { init: arch } : {}),
      ...(image === undefined
        ? {
            directories: ['/dev', '/proc', '/sys', '/tmp'],
            devices: [{ path: '/dev/console', type: 'char', major: 5, minor: 1 }],
            modes: {
              ...(bringsInit ? {} : { '/init': '755' }),
              ...(busybox === undefined ? {} : { '/bin/busybox': '755' }),
            },
          }
        : {}),
    });
    const output = `dist/${root}/${INITRD_NAMES[compression]}`;
    const variables = {
      name,
      output,
      target: initrdTargetName(tree, root),
      bringsInit,
      arch,
      isContainer: image !== undefined,
    };
    // An existing folder may already have these files.
    const keep = { keep: true };
    generateFiles(tree, join(__dirname, 'files', 'project'), root, variables, keep);
    if (hasBusybox) generateFiles(tree, join(__dirname, 'files', 'rootfs'), folder, variables, keep);
    // Version control doesn't keep empty folders.
    else if (image === undefined && tree.children(folder).length === 0)
      tree.write(joinPathFragments(folder, PLACEHOLDER), '');
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
    return runTasksInSerial(install, link ?? (() => undefined), () => {
      if (!hint) return;
      const shell = bringsInit
        ? 'Its /init prints what the guest runs on, runs the program that the command line names, and powers off.\n'
        : '';
      logger.info(
        `\n${shell}Next: nx g nx-igvm:guest-image my-image --kernel=/boot/vmlinuz-$(uname -r) --initrd=${name}`,
      );
    });
  });
}

/** The value of "image" in initrd.json, for an option. @throws IgvmError GENERATOR_OPTION, NX_TARGET_UNKNOWN, NX_OUTPUT_UNDECLARED */
async function containerImage(tree: Tree, root: string, value: string, tag?: string): Promise<unknown> {
  const fromRoot = posix.normalize(toSlashes(value.trim()));
  const isLayout = fromRoot !== '.' && !fromRoot.startsWith('..') && tree.exists(fromRoot) && !tree.isFile(fromRoot);
  const named = isLayout
    ? inWorkspace(root, fromRoot.replace(/\/$/, ''))
    : await new ResourceOptions(tree, root).read('image', value);
  if (tag === undefined) return named;
  return typeof named === 'string' ? { path: named, tag } : { ...named, tag };
}

/** Bytes. Hundreds of times the size of a busybox. */
const PROGRAM_LIMIT = 2 ** 28;

/** @throws IgvmError GENERATOR_OPTION */
function readBusybox(tree: Tree, path: string): Buffer {
  let content: Buffer;
  try {
    content = readRegularFile(resolve(tree.root, path), { limit: PROGRAM_LIMIT });
  } catch {
    throw new IgvmError('GENERATOR_OPTION', '--busybox: the file cannot be read', { file: path });
  }
  if (!isStaticExecutable(content)) {
    throw new IgvmError(
      'GENERATOR_OPTION',
      '--busybox: this is not a statically linked program (Debian: busybox-static)',
      {
        file: path,
      },
    );
  }
  return content;
}

export default initrdGenerator;

const PT_INTERP = 3;

/**
 * Whether these are the bytes of a statically linked ELF program: one without a PT_INTERP program header (ELF specification, "Program
 * Header").
 */
export function isStaticExecutable(bytes: Uint8Array): boolean {
  const [magic0, magic1, magic2, magic3, elfClass, order] = bytes;
  if (magic0 !== 0x7f || magic1 !== 0x45 || magic2 !== 0x4c || magic3 !== 0x46) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = order === 1;
  const is64 = elfClass === 2;
  const headerSize = is64 ? 64 : 52;
  if (bytes.length < headerSize) return false;
  const offset = is64 ? Number(view.getBigUint64(32, little)) : view.getUint32(28, little);
  const size = view.getUint16(is64 ? 54 : 42, little);
  const count = view.getUint16(is64 ? 56 : 44, little);
  for (let index = 0; index < count; index++) {
    const start = offset + index * size;
    if (start + 4 > bytes.length) return false;
    if (view.getUint32(start, little) === PT_INTERP) return false;
  }
  return count > 0;
}
