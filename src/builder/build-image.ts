import { type ErrorWhere, IgvmError, type JsonPath, unreachable } from '../errors/igvm-error';
import { accessOfFiles, OWNER_ONLY } from '../files/access';
import { checkNotInputs, createOutputSet, type OutputSet } from '../files/atomic-output';
import { crc32, sha256Hex } from '../files/hashes';
import type { IgvmSink } from '../igvm/file-data';
import { mergeGuests } from '../igvm/merge';
import type { IgvmFile } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import type { DirectiveObserver } from '../igvm/stream';
import { writeIgvm, type WriteReport } from '../igvm/write-igvm';
import { mapFileText } from '../loader/guest/layout';
import { mapPath } from '../manifest/image-files';
import type { Manifest, ResourceName } from '../manifest/model';
import type { ByteSource } from '../memory/byte-source';
import type { BuildReport } from './build-report';
import { Endorsements, formerSiblings } from './endorsements';
import { isOvmf, loadGuest } from './load-guest';
import type { LaidOutImage } from './load-ovmf';
import { OpenResources, type ResourceFile } from './open-resources';

/** A build whose manifest and resources have been found and checked. */
export interface BuildRequest {
  /** A checked manifest (src/manifest: loadManifest), with its overrides applied. */
  manifest: Manifest;
  /** The place of a JSON path in the manifest, for errors that occur while a guest is laid out. */
  positionOf?: (jsonPath: JsonPath) => ErrorWhere;
  /** The files of all resources that the images use. */
  resources: ReadonlyMap<ResourceName, ResourceFile>;
  /** Path of the image. Its siblings go beside it, with igvmfilegen's names. */
  output: string;
  /** Further inputs of the build, which its outputs must not replace. */
  otherInputs?: readonly string[];
  /** Only its owner may read the image, whoever may read its inputs. */
  private?: boolean;
  /** Reads the image back and writes it again, to check that both are the same. */
  debugValidation?: boolean;
  /** Called with the number of finished pages and the number of all pages. */
  progress?: (done: number, total: number) => void;
}

/**
 * Builds an image: lays out its guests, then reads, measures and writes them in one pass. All files appear at once, the
 * image last. Siblings of an earlier build that this one doesn't make are removed. A failed build leaves nothing
 * behind. The image is readable for those who may read all of its inputs.
 * @throws IgvmError RESOURCE_DIGEST, and from loaders, resources and outputs
 */
export async function buildImage(request: BuildRequest): Promise<BuildReport> {
  const resources = new OpenResources(request.resources);
  const outputs = createOutputSet();
  try {
    resources.checkPinned();
    if (request.manifest.guest_arch === 'aarch64') await resources.unpackKernels();
    const report = await writeOutputs(request, layOut(request, resources), resources, outputs);
    const made = report.files.map(({ path }) => path);
    await outputs.commit({
      last: request.output,
      remove: () => formerSiblings(request.output, [...made, ...inputs(request)]),
    });
    return report;
  } catch (error) {
    throw atResource(error, request.resources);
  } finally {
    await outputs.abort();
    resources.close();
  }
}

/** Adds, to an error in a resource's file, the place where the manifest names the file. */
function atResource(error: unknown, resources: BuildRequest['resources']): unknown {
  if (!(error instanceof IgvmError)) return error;
  const { file, line, jsonPath = [] } = error.where;
  const [key, name] = jsonPath;
  const resource = key === 'resources' ? resources.get(name as ResourceName) : undefined;
  if (file === undefined || line !== undefined || resource?.where?.line === undefined) return error;
  const where = { ...error.where, ...resource.where };
  const { cause, also, saysAll } = error;
  return new IgvmError(error.code, `${file}: ${error.message}`, where, { cause, also, saysAll });
}

const inputs = ({ resources, otherInputs = [] }: BuildRequest): string[] => [
  ...[...resources.values()].map(({ path }) => path),
  ...otherInputs,
];

function layOut({ manifest, positionOf }: BuildRequest, resources: OpenResources): LaidOutImage {
  const placing = <T>(index: number, load: () => T): T => {
    try {
      return load();
    } catch (error) {
      if (!(error instanceof IgvmError) || error.where.file !== undefined) throw error;
      throw placed(error, index, positionOf);
    }
  };
  const ovmf = manifest.guest_configs.findIndex(isOvmf);
  if (ovmf !== -1) {
    const { loadOvmf } = require('./load-ovmf') as typeof import('./load-ovmf');
    return placing(ovmf, () => loadOvmf(manifest, resources));
  }
  const guests = manifest.guest_configs.map((config, index) =>
    placing(index, () => loadGuest(config, manifest.guest_arch, resources)),
  );
  return { file: mergeGuests(guests.map(({ file }) => file)), guests };
}

/** A loader knows where a mistake is in its guest's configuration; the manifest knows where that configuration is. */
function placed(error: IgvmError, index: number, positionOf: BuildRequest['positionOf']): IgvmError {
  const jsonPath = ['guest_configs', index, ...(error.where.jsonPath ?? ['image'])];
  const where = { ...error.where, jsonPath, ...positionOf?.(jsonPath) };
  return new IgvmError(error.code, error.message, where, { cause: error.cause, also: error.also });
}

async function writeOutputs(
  request: BuildRequest,
  { file: merged, guests }: LaidOutImage,
  resources: OpenResources,
  outputs: OutputSet,
): Promise<BuildReport> {
  const endorsements = new Endorsements(request.manifest, merged);
  try {
    const paths = [request.output, mapPath(request.output), ...endorsements.paths(request.output)];
    checkNotInputs(paths, inputs(request));
    const written = await writeImage(request, guests, endorsements.addTo(merged), endorsements.observers(), outputs);
    resources.checkUnchanged();

    const map = Buffer.from(mapFileText(guests.map((guest) => guest.map)));
    await outputs.add(mapPath(request.output)).writeAll(map);
    const siblings = await endorsements.write(request.output, outputs);
    return {
      files: [
        { kind: 'image', path: request.output, size: written.fileSize },
        { kind: 'map', path: mapPath(request.output), size: map.length },
        ...siblings,
      ],
      image: written,
      measurements: endorsements.measurements(),
      notes: [...new Set(guests.flatMap(({ notes }) => notes))],
      details: [...new Set(guests.flatMap(({ details }) => details))],
    };
  } finally {
    const observers = guests.flatMap((guest) => guest.observers);
    await Promise.allSettled([endorsements.close(), ...observers.map(async (observer) => observer.close?.())]);
  }
}

async function writeImage(
  request: BuildRequest,
  guests: LaidOutImage['guests'],
  file: IgvmFile,
  measuring: readonly DirectiveObserver[],
  outputs: OutputSet,
): Promise<WriteReport> {
  const { output, debugValidation, progress } = request;
  const image = outputs.add(output, request.private === true ? OWNER_ONLY : accessOfFiles(inputs(request)));
  const observers = [...guestObservers(guests, file), ...measuring, ...progressOf(file, progress)];
  const written = await writeIgvm(file, image, { crc32, sha256Hex, observers });
  if (debugValidation === true) await validateOutput(image, written.fileSize);
  return written;
}

/** Each guest has one platform header, and keeps its place when guests are merged. */
function guestObservers(guests: LaidOutImage['guests'], { platforms }: IgvmFile): DirectiveObserver[] {
  return guests.flatMap(({ observers }, index) => {
    const mask = platforms[index]?.compatibilityMask ?? 0;
    return observers.map((observer) => forGuest(observer, mask));
  });
}

function progressOf(file: IgvmFile, progress: BuildRequest['progress']): DirectiveObserver[] {
  if (progress === undefined) return [];
  const total = file.directives.reduce((sum, each) => sum + (each.type === 'pageData' ? each.pageCount : 0), 0);
  return [pageCounter((done) => progress(done, total))];
}

/** Restricts an observer to one guest of a merged file. Directives without a mask belong to all guests. */
export function forGuest(observer: DirectiveObserver, compatibilityMask: number): DirectiveObserver {
  return {
    pagesOverlap: observer.pagesOverlap,
    close: () => observer.close?.() ?? Promise.resolve(),
    directive: (directive) =>
      !('compatibilityMask' in directive) || (directive.compatibilityMask & compatibilityMask) !== 0
        ? observer.directive?.(directive)
        : undefined,
    pages: (run, firstPage, pageCount, bytes) =>
      (run.compatibilityMask & compatibilityMask) === 0
        ? undefined
        : observer.pages?.(run, firstPage, pageCount, bytes),
  };
}

/** Counts the pages that have been streamed. */
export function pageCounter(onPages: (done: number) => void): DirectiveObserver {
  let done = 0;
  return {
    pages: (_run, _firstPage, pageCount) => {
      done += pageCount;
      onPages(done);
    },
  };
}

/**
 * Reads an image back and writes it again to a sink that only compares: reader and writer must agree on every byte.
 * @param size of the image in bytes
 * @throws IgvmError when our reader refuses the image; an Error, as that is a bug, when the second image differs
 */
async function validateOutput(image: Pick<IgvmSink, 'read'>, size: number): Promise<void> {
  const source: ByteSource = { size, read: (offset, target) => image.read(offset, target) };
  const again = await writeIgvm(readIgvm(source, { crc32 }), comparing(image, size), { crc32, sha256Hex });
  if (again.fileSize !== size) unreachable(`an image of ${size} bytes has ${again.fileSize} when it is written again`);
}

/** A sink that holds a file already and accepts only that. */
const comparing = (image: Pick<IgvmSink, 'read'>, size: number): IgvmSink => ({
  async write(offset, bytes) {
    if (offset + bytes.length > size) unreachable(`an image of ${size} bytes grows when it is written again`);
    const expected = new Uint8Array(bytes.length);
    image.read(offset, expected);
    if (Buffer.compare(expected, bytes) !== 0) {
      unreachable(`an image differs at or after offset ${offset} when it is written again`);
    }
  },
  read: (offset, target) => image.read(offset, target),
});
