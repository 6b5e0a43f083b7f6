import { isAbsolute, posix, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import type * as LoadInitrd from '../initrd/load-initrd';
import type { Compression } from '../initrd/load-initrd';
import { asRecord, isolationTypes, type Json, lockPath } from '../manifest/image-files';
import { parseResource } from '../resources/resource-reference';
import {
  optionFile,
  optionPath,
  type OwnTarget,
  type PluginOptions,
  TARGET_KINDS,
  type TargetKind,
  targetName,
  type TargetOption,
} from './configuration';
import {
  BUILD_EXECUTOR,
  buildTarget,
  builtFiles,
  type ImageManifest,
  type InferredImage,
  type InferredProject,
  namedImages,
  outputFiles,
  outputFolder,
  readJsonObject,
  readsImage,
  sourceFile,
  usedOf,
} from './inferred-image';
import {
  allInputs,
  combineInputs,
  escapeGlob,
  fileInputs,
  folderInputs,
  imageInputs,
  NEVER_CACHED,
  resourceInputs,
  type TrackedInputs,
} from './tracked-inputs';
import { nxFeatures } from './workspace-nx';

/** Whether common VMMs can boot the image: one Linux kernel for x64 that is started directly, or OVMF, without isolation. */
function isBootable(manifest: ImageManifest): boolean {
  const guests: unknown[] = Array.isArray(manifest.guest_configs) ? manifest.guest_configs : [];
  const isOf = (kind: string): boolean =>
    guests.every((guest) => Object.hasOwn(asRecord(asRecord(guest)['image']), kind));
  const isolations = isolationTypes(manifest);
  if (manifest.guest_arch !== 'x64' || guests.length === 0) return false;
  // A file with OVMF may also contain a guest for SEV-SNP.
  return isOf('ovmf')
    ? isolations.includes('none')
    : guests.length === 1 && isOf('linux') && isolations.join() === 'none';
}

const runsAfterBuild = ({ build }: InferredImage): Pick<TargetConfiguration, 'dependsOn'> =>
  build === undefined ? {} : { dependsOn: [build] };

/** The target that boots an image; none for an image that needs uncommon hardware. */
export function bootTarget(image: InferredImage): TargetConfiguration | undefined {
  if (!isBootable(image.manifest)) return undefined;
  return {
    executor: 'nx-igvm:boot',
    // If Nx doesn't take over the guest's result, a boot is an ordinary task, and dependent tasks wait for its end.
    continuous: nxFeatures(image.project.workspaceRoot).continuousResult,
    options: { image: image.file },
    ...runsAfterBuild(image),
    metadata: {
      technologies: ['igvm'],
      description: `Boots the IGVM image ${image.name} on this machine`,
      help: { command: 'npx nx-igvm boot --help', example: { options: { cpus: 2 } } },
    },
  };
}

/** Default time limit of a boot test in seconds. TCG is slow. */
const TEST_TIMEOUT = 120;

/** Whether the manifest or the plugin's options request a boot test, and the image is bootable. */
export function hasBootTest(manifest: ImageManifest, option: TargetOption | undefined): boolean {
  const isAskedFor = typeof manifest.boot_test === 'object' && manifest.boot_test !== null;
  return isBootable(manifest) && option !== false && (isAskedFor || option !== undefined);
}

/**
 * The target that boots an image and checks its output. Nx shares one run of a continuous task such as `boot` among all commands that
 * need it, whatever their arguments, and counts it as a success for each. A test needs a run of its own.
 */
export function bootTestTarget(image: InferredImage): TargetConfiguration | undefined {
  const { manifest, project } = image;
  if (!hasBootTest(manifest, project.options['boot-test'])) return undefined;
  const { until, timeout = TEST_TIMEOUT } = asRecord(manifest.boot_test);
  return {
    executor: 'nx-igvm:boot',
    continuous: false,
    cache: false,
    options: { image: image.file, ...(until === undefined ? {} : { until }), timeout },
    ...runsAfterBuild(image),
    metadata: {
      technologies: ['igvm'],
      description: `Boots the IGVM image ${image.name} and checks its output`,
      help: { command: 'npx nx-igvm boot --help', example: { options: { until: '^ready$', timeout: 60 } } },
    },
  };
}

/** A kind of target of images. */
export interface TargetRow {
  executor: string;
  /** Returns undefined for an image that can't have such a target. @param own the user's configuration of it */
  create: (image: InferredImage, own: OwnTarget) => TargetConfiguration | undefined;
  /** The description of the target that runs those of all images of a project; undefined for kinds that have no such target. */
  together?: string;
}

export const IMAGE_TARGETS: Record<Exclude<TargetKind, 'initrd'>, TargetRow> = {
  build: { executor: BUILD_EXECUTOR, create: buildTarget, together: 'Builds all IGVM images of the project' },
  fetch: {
    executor: 'nx-igvm:fetch',
    create: fetchTarget,
    together: 'Downloads the resources that all IGVM images of the project name by URL',
  },
  inspect: {
    executor: 'nx-igvm:inspect',
    create: inspectTarget,
    together: 'Shows the contents of all IGVM images of the project',
  },
  measure: {
    executor: 'nx-igvm:measure',
    create: measureTarget,
    together: 'Computes the launch digests of all IGVM images of the project',
  },
  verify: {
    executor: 'nx-igvm:verify',
    create: verifyTarget,
    together: 'Checks all IGVM images of the project against their measurement locks',
  },
  sign: { executor: 'nx-igvm:sign', create: signTarget },
  boot: { executor: 'nx-igvm:boot', create: bootTarget },
  'boot-test': {
    executor: 'nx-igvm:boot',
    create: bootTestTarget,
    together: 'Boots all IGVM images of the project that have a boot test',
  },
};

/** Whether the images of a manifest use a resource with a URL. */
export const hasUrls = (manifest: ImageManifest): boolean =>
  usedOf(manifest, manifest.resources).some((resource) => parseResource(resource)?.kind === 'url');

/** The target that downloads an image's resources with a URL; none without such resources. Not cached, because it fills a folder of the machine. */
function fetchTarget({ manifest, path, name }: InferredImage): TargetConfiguration | undefined {
  if (!hasUrls(manifest)) return undefined;
  return {
    executor: 'nx-igvm:fetch',
    cache: false,
    options: { manifest: path },
    inputs: [],
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Downloads the resources that the IGVM image ${name} names by URL`,
      help: { command: 'npx nx-igvm fetch --help', example: {} },
    },
  };
}

/** The target that writes a page about an image and the documents beside it. For isolated guests, the page compares it with its lock. */
function inspectTarget(image: InferredImage, own: OwnTarget): TargetConfiguration {
  const { file, project } = image;
  const lock = isIsolated(image) ? lockPath(image.path) : undefined;
  const locks = own.values('lock', lock).map((value) => optionFile(value, project));
  return {
    executor: 'nx-igvm:inspect',
    cache: true,
    options: { image: file, format: 'html', ...(lock === undefined ? {} : { lock }) },
    ...readsImage(image, builtFiles(image), [...locks, ...namedImages(image, own)]),
    outputs: ['{options.outputPath}', `{workspaceRoot}/${escapeGlob(file.replace(/\.igvm$/, '.html'))}`],
    metadata: {
      technologies: ['igvm'],
      description: `Shows the contents of the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm inspect --help', example: { options: { format: 'text' } } },
    },
  };
}

/** Whether a guest of the image is isolated, and so can be attested. */
const isIsolated = ({ manifest }: InferredImage): boolean => isolationTypes(manifest).some((type) => type !== 'none');

/** The target that prints launch digests and writes the lock. Not cached, because a hit would not write the lock. */
function measureTarget(image: InferredImage): TargetConfiguration {
  return {
    executor: 'nx-igvm:measure',
    cache: false,
    options: { image: image.file, lock: lockPath(image.path) },
    ...readsImage(image, builtFiles(image)),
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Computes the launch digests of the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm measure --help', example: { options: { updateLock: true } } },
    },
  };
}

/**
 * The target that verifies an image against its lock. Not cached: a cached success is only as trustworthy as the cache, which may be
 * writable for attackers.
 */
function verifyTarget(image: InferredImage, own: OwnTarget): TargetConfiguration {
  const { project } = image;
  const lock = lockPath(image.path);
  const locks = own.values('lock', lock).map((value) => optionFile(value, project));
  return {
    executor: 'nx-igvm:verify',
    cache: false,
    options: { image: image.file, lock },
    ...readsImage(image, builtFiles(image), [...locks, ...namedImages(image, own)]),
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Checks the IGVM image ${image.name} against its measurement lock`,
      help: { command: 'npx nx-igvm verify --help', example: {} },
    },
  };
}

/**
 * The target that signs an image; none for an image without isolated guests. Not cached, because a temporary key gives a different
 * image each time.
 */
function signTarget(image: InferredImage): TargetConfiguration | undefined {
  if (!isIsolated(image)) return undefined;
  return {
    executor: 'nx-igvm:sign',
    cache: false,
    options: { image: image.file, manifest: image.path },
    ...(isolationTypes(image.manifest).includes('snp')
      ? { configurations: { development: { temporaryKey: true } } }
      : {}),
    ...readsImage(image, builtFiles(image), [sourceFile(image, image.path)]),
    outputs: ['{options.outputPath}', `{workspaceRoot}/${escapeGlob(image.file.replace(/\.igvm$/, '-signed.igvm'))}`],
    metadata: {
      technologies: ['igvm'],
      description: `Signs the IGVM image ${image.name} with the signatures in the options, or a temporary key (configuration development)`,
      help: { command: 'npx nx-igvm add-snp-id-block --help', example: { options: { temporaryKey: true } } },
    },
  };
}

/** The executor of the targets that run those of all images of a project. */
export const GROUP_EXECUTOR = 'nx-igvm:group';

/**
 * The targets that run those of all images, for a project with several.
 * @param some for kinds that only some images have: the suffixes of those images
 */
export function togetherTargets(
  suffixes: readonly string[],
  some: Partial<Record<TargetKind, readonly string[]>>,
  options: PluginOptions,
): Record<string, TargetConfiguration> {
  const targets: Record<string, TargetConfiguration> = {};
  for (const kind of TARGET_KINDS) {
    const name = targetName(kind, options);
    const description = kind === 'initrd' ? undefined : IMAGE_TARGETS[kind].together;
    const members = (some[kind] ?? suffixes).map((suffix) => `${name}${suffix}`);
    if (name === undefined || description === undefined || members.length === 0) continue;
    targets[name] = {
      executor: GROUP_EXECUTOR,
      options: { targets: members },
      dependsOn: members,
      metadata: { technologies: ['igvm'], description, help: { command: `npx nx-igvm ${kind} --help`, example: {} } },
    };
  }
  return targets;
}

export const INITRD_EXECUTOR = 'nx-igvm:initrd';

/** An initrd.json as inference reads it. It is not validated, because a wrong one should still have its target. */
export interface InitrdFile {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  /** The folder that is packed, relative to the workspace or absolute. Undefined if only an image is packed. */
  readonly folder?: string;
  /** The container image that is packed, as written. */
  readonly image?: unknown;
  /** Kernel modules, as written. */
  readonly modules: readonly unknown[];
  /** Name of the output file. */
  readonly output: string;
  /** Why it can't be read. Its target exists nevertheless, and fails with the same error. */
  readonly unread?: IgvmError;
}

/** @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX */
export function readInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  return initrdFile(path, readJsonObject(workspaceRoot, path));
}

/** Reads an initrd.json as far as possible. A mistake in it must not stop every command of Nx. */
export function readAnyInitrdFile(workspaceRoot: string, path: string): InitrdFile {
  try {
    return readInitrdFile(workspaceRoot, path);
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { ...initrdFile(path, {}), unread: error };
  }
}

function initrdFile(path: string, { name, folder, image, modules, compression }: Json): InitrdFile {
  const { INITRD_NAMES } = require('../initrd/load-initrd') as typeof LoadInitrd;
  const packed = typeof folder === 'string' ? folder : image === undefined ? 'rootfs' : undefined;
  const isKnown = typeof compression === 'string' && Object.hasOwn(INITRD_NAMES, compression);
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    ...(packed === undefined ? {} : { folder: isAbsolute(packed) ? packed : posix.join(posix.dirname(path), packed) }),
    ...(image === undefined ? {} : { image }),
    modules: Array.isArray(modules) ? modules : [],
    output: INITRD_NAMES[isKnown ? (compression as Compression) : 'none'],
  };
}

/** Inputs for everything that an initramfs is made of. */
const contentInputs = (project: InferredProject, { path, folder, image, modules }: InitrdFile): TrackedInputs[] => [
  ...(folder === undefined ? [] : [folderInputs(project, folder)]),
  ...(image === undefined ? [] : [imageInputs(project, path, image)]),
  ...modules.map((module) => resourceInputs(project, path, module)),
];

/** The target that packs an initramfs. */
export function initrdTarget(project: InferredProject, initrd: InitrdFile, own: OwnTarget): TargetConfiguration {
  const { workspaceRoot, plugin, root } = project;
  const { path } = initrd;
  const others = own
    .values('config')
    .map((value) => optionPath(value, project))
    .filter((other) => other !== path);
  const all = [initrd, ...others.map((other) => readAnyInitrdFile(workspaceRoot, other))];
  const tracked = combineInputs([
    ...[path, ...others].map((each) => fileInputs(project, resolve(workspaceRoot, each), each)),
    ...all.flatMap((each) => (each.unread === undefined ? contentInputs(project, each) : [NEVER_CACHED])),
  ]);
  return {
    executor: INITRD_EXECUTOR,
    cache: true,
    options: { config: path, outputPath: outputFolder(root) },
    ...(tracked.dependsOn.length === 0 ? {} : { dependsOn: tracked.dependsOn }),
    inputs: allInputs(plugin, tracked),
    outputs: outputFiles(
      own.option('outputPath') ?? outputFolder(root),
      [...new Set(all.map(({ output }) => output))],
      project,
    ),
    metadata: {
      technologies: ['igvm'],
      description: `Packs ${initrd.image === undefined ? initrd.folder : 'a container image'} into an initramfs`,
      help: { command: 'npx nx-igvm initrd --help', example: {} },
    },
  };
}
