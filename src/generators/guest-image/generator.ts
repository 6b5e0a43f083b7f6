import { isAbsolute, join } from 'node:path';
import { type GeneratorCallback, joinPathFragments, type Tree } from 'nx/src/devkit-exports';
import { formatFiles, generateFiles, reportingUserErrors, withoutSkipped } from '../workspace/generate';
import { logger } from '../../plugin/workspace-nx';
import { outputFolder } from '../../plugin/inferred-image';
import {
  existingProjectName,
  locateProject,
  offsetFromRoot,
  parseTags,
  requireFree,
  writeProjectFile,
} from '../workspace/project-location';
import { runTasksInSerial } from '../workspace/install-packages';
import { IgvmError } from '../../errors/igvm-error';
import { imageNameInWorkspace } from '../../manifest/image-files';
import { parseManifest } from '../../manifest/load-manifest';
import type { Resource, ResourceName } from '../../manifest/model';
import { initGenerator } from '../init/generator';
import { adoptManifest } from './adopt-manifest';
import { describeBinaries } from './binaries';
import {
  defaultPath,
  type ImageOptions,
  linuxDirect,
  linuxParavisor,
  ovmf,
  type Scaffold,
  snpLinuxDirect,
  uefi,
} from './image-types';
import { ResourceOptions } from './resource-option';
import type { IsolationName } from '../../igvm/platforms';

type GuestImageType = 'linux-direct' | 'linux-paravisor' | 'uefi' | 'ovmf' | 'snp-linux-direct';

/** Options of `nx g nx-igvm:guest-image`, described in schema.json. */
export interface GuestImageGeneratorSchema {
  name: string;
  type?: GuestImageType;
  directory?: string;
  arch?: 'x64' | 'aarch64';
  isolation?: IsolationName[];
  kernel?: string;
  initrd?: string;
  commandLine?: string;
  memorySize?: string | number;
  bootData?: 'embedded' | 'vmm';
  processorCount?: number;
  uefi?: string;
  firmware?: string;
  uki?: string;
  paravisor?: boolean;
  debug?: boolean;
  embedCorim?: boolean;
  from?: string;
  resources?: string;
  useProjectJson?: boolean;
  tags?: string;
  skipFormat?: boolean;
}

const TYPES: Record<GuestImageType, (options: ImageOptions) => Scaffold> = {
  'linux-direct': linuxDirect,
  'linux-paravisor': linuxParavisor,
  uefi,
  ovmf,
  'snp-linux-direct': snpLinuxDirect,
};

/** The files that are written into the image's folder. */
interface GeneratedImage {
  manifest: string;
  title: string;
  resources: Partial<Record<ResourceName, Resource>>;
  bootable: boolean;
  isolated: boolean;
  arch: 'x64' | 'aarch64';
  notes: string[];
}

/** Creates a project with one image, or adds an image to a project that has none. */
export function guestImageGenerator(tree: Tree, given: GuestImageGeneratorSchema): Promise<GeneratorCallback> {
  return reportingUserErrors('guest-image', async () => {
    const options = withoutSkipped(given, ['kernel', 'initrd']);
    checkCombination(options);
    const location = locateProject(tree, options);
    const { root } = location;
    const manifestPath = joinPathFragments(root, 'igvm.json');
    requireFree(tree, manifestPath);
    const schema = `${offsetFromRoot(root)}node_modules/nx-igvm/schemas/igvm.schema.json`;
    const image =
      options.from === undefined
        ? await scaffoldImage(tree, root, schema, options)
        : adoptImage(tree, root, schema, options.from, options.resources);

    const install = await initGenerator(tree, { skipFormat: true });
    const existing = existingProjectName(tree, root);
    const link =
      existing === undefined
        ? writeProjectFile(tree, location, { useProjectJson: options.useProjectJson, tags: parseTags(options.tags) })
        : undefined;
    const name = existing ?? location.name;
    if (tree.exists(joinPathFragments(root, 'initrd.json'))) {
      logger.warn(
        `${name}:build now builds the image; the target that packs ${root}/initrd.json is now ${name}:initrd`,
      );
    }
    tree.write(manifestPath, image.manifest);
    if (!tree.exists(joinPathFragments(root, 'README.md'))) {
      generateFiles(tree, join(__dirname, 'files'), root, {
        name,
        output: `${outputFolder(root)}/${imageNameInWorkspace(manifestPath)}.igvm`,
        title: image.title,
        manifestPath,
        notes: image.notes,
        bootable: image.bootable,
        binaries: describeBinaries(image.resources, image.arch),
        isolated: image.isolated,
      });
    }
    if (!options.skipFormat) {
      await formatFiles(tree);
    }
    return runTasksInSerial(install, link ?? nothing, () => {
      logger.info(`\n${nextStep(tree, root, name, image.resources)}`);
    });
  });
}

/** The next step for the user: to add missing binaries, or to build. */
function nextStep(tree: Tree, root: string, name: string, resources: GeneratedImage['resources']): string {
  const readme = joinPathFragments(root, 'README.md');
  const missing = Object.values(resources).filter(
    (path): path is string => typeof path === 'string' && !isAbsolute(path) && !isThere(tree, root, path),
  );
  if (missing.length === 0) return `Next: nx build ${name} (${readme} has the other commands)`;
  return `Next: put ${missing.join(', ')} into ${root} (${readme} explains where to get them), then run nx build ${name}`;
}

/** Whether a resource's file is in the workspace. For a pattern, this is assumed. */
const isThere = (tree: Tree, root: string, path: string): boolean =>
  /[*?[\]{}\\]/.test(path.replace('{workspaceRoot}/', '')) ||
  tree.exists(
    path.startsWith('{workspaceRoot}/') ? path.slice('{workspaceRoot}/'.length) : joinPathFragments(root, path),
  );

/** Options that describe an image, as an adopted manifest already does. An option with a default can't be distinguished from a missing one. */
const DESCRIBING = [
  'kernel',
  'initrd',
  'uefi',
  'firmware',
  'uki',
  'isolation',
  'commandLine',
  'processorCount',
  'embedCorim',
] as const;

/** Options for other types of images than the chosen one, which would be ignored. */
const NOT_OF_OVMF = ['initrd', 'uefi', 'commandLine', 'processorCount'] as const;
const OF_OVMF = ['firmware', 'uki'] as const;

/** @throws IgvmError GENERATOR_OPTION */
function checkOvmf(options: GuestImageGeneratorSchema): void {
  const isGiven = (name: keyof GuestImageGeneratorSchema): boolean => (options[name] ?? 'none') !== 'none';
  const isOvmf = options.type === 'ovmf';
  const wrong = (isOvmf ? NOT_OF_OVMF : OF_OVMF).find(isGiven);
  if (wrong !== undefined) {
    const instead = isOvmf ? 'a UKI contains everything that a kernel needs' : 'it is for ovmf images';
    throw new IgvmError(
      'GENERATOR_OPTION',
      `${wrong} would be ignored by an image of the type ${options.type ?? 'linux-direct'}: ${instead}`,
    );
  }
  if (isGiven('kernel') && isGiven('uki')) {
    const message = 'an ovmf image starts one kernel: give kernel or uki, not both';
    throw new IgvmError('GENERATOR_OPTION', message, {}, { saysAll: true });
  }
}

/** @throws IgvmError GENERATOR_OPTION */
function checkCombination(options: GuestImageGeneratorSchema): void {
  if (options.from === undefined) {
    checkOvmf(options);
    if (options.resources === undefined) return;
    throw new IgvmError('GENERATOR_OPTION', 'resources needs the option from, which names the manifest to adopt');
  }
  // For a skipped question, Nx passes an empty list.
  const ignored = DESCRIBING.find((name) => options[name] !== undefined && options[name].toString() !== '');
  if (ignored === undefined) return;
  throw new IgvmError(
    'GENERATOR_OPTION',
    `${ignored} would be ignored, because the manifest in the option from describes the image`,
  );
}

const nothing: GeneratorCallback = () => undefined;

async function scaffoldImage(
  tree: Tree,
  root: string,
  schema: string,
  options: GuestImageGeneratorSchema,
): Promise<GeneratedImage> {
  const { type = 'linux-direct', arch = 'x64' } = options;
  const { title, guests, resources, notes, launches } = TYPES[type]({
    arch,
    isolation: options.isolation,
    useInitrd: options.initrd !== 'none',
    kernel: options.kernel === undefined ? 'uki' : 'linux_kernel',
    commandLine: options.commandLine ?? (arch === 'x64' ? 'console=ttyS0 panic=-1' : 'console=ttyAMA0 panic=-1'),
    memorySize: options.memorySize ?? '512M',
    bootData: options.bootData ?? 'embedded',
    processorCount: options.processorCount,
    paravisor: options.paravisor ?? false,
    debug: options.debug ?? false,
  });
  const given: Partial<Record<ResourceName, [option: string, value: string | undefined]>> = {
    linux_kernel: ['kernel', options.kernel],
    linux_initrd: ['initrd', options.initrd],
    uefi: ['uefi', options.uefi],
    ovmf_code: ['firmware', options.firmware],
    uki: ['uki', options.uki],
  };
  const chosen: Partial<Record<ResourceName, Resource>> = {};
  const reader = new ResourceOptions(tree, root);
  for (const name of resources) {
    const [option, value] = given[name] ?? [name, undefined];
    chosen[name] = value === undefined ? defaultPath(name, arch) : await reader.read(option, value);
  }
  const manifest = {
    $schema: schema,
    guest_arch: arch,
    ...(options.embedCorim === undefined ? {} : { embed_corim: options.embedCorim }),
    guest_configs: guests,
    ...(launches === undefined ? {} : { launches }),
    resources: chosen,
  };
  // The policies and page counts of generated manifests are far below 2^53.
  const number = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value);
  const text = `${JSON.stringify(manifest, number, 2)}\n`;
  requireValid(text);
  return {
    manifest: text,
    title,
    resources: chosen,
    arch,
    isolated: guests.some(({ isolation_type: isolation }) => isolation !== 'none'),
    bootable: ['linux-direct', 'ovmf'].includes(type) && arch === 'x64' && guests[0]?.isolation_type === 'none',
    notes,
  };
}

/** Checks the generated manifest: options that are valid individually can make one that no build accepts. @throws IgvmError GENERATOR_OPTION */
function requireValid(manifest: string): void {
  try {
    parseManifest(manifest, 'igvm.json', { strict: true });
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    const { jsonPath } = error.where;
    throw new IgvmError('GENERATOR_OPTION', `these options don't give a valid manifest: ${error.message}`, {
      jsonPath,
    });
  }
}

function adoptImage(
  tree: Tree,
  root: string,
  schema: string,
  from: string,
  resources: string | undefined,
): GeneratedImage {
  const adopted = adoptManifest(tree, { root, manifest: from, resources, schema });
  return {
    manifest: adopted.text,
    title: `Adopted from igvmfilegen's \`${from}\`.`,
    resources: adopted.resources,
    bootable: false,
    arch: 'x64',
    isolated: /"(?:snp|tdx|vbs)"\s*:/.test(adopted.text),
    notes: ['Files outside the workspace have absolute paths, so other machines need them in the same place.'],
  };
}

export default guestImageGenerator;
