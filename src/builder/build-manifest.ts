import { resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { type LoadedManifest, loadManifest, type ManifestOverrides } from '../manifest/load-manifest';
import type { ResourceName } from '../manifest/model';
import type { DownloadOptions } from '../resources/downloads';
import {
  fetchResources,
  type LocatedResource,
  locateResources,
  type ResolvedResource,
} from '../resources/resolve-resources';
import { combined, type ManifestWarning } from '../manifest/validate';
import { buildImage } from './build-image';
import type { BuildReport } from './build-report';
import { isOvmf } from './load-guest';

/** A build from files, as requested by the executor or the command line. */
export interface ManifestBuild extends ManifestOverrides {
  /** Path of the manifest. */
  manifest: string;
  /** Path of a separate resources file, which replaces the manifest's own resources. */
  resources?: string;
  /** Path of the image. */
  output: string;
  /** Default: the nearest folder above the manifest with an nx.json. */
  workspaceRoot?: string;
  /** Unknown keys of the manifest are errors. */
  strict?: boolean;
  /** Only its owner may read the image, whoever may read its inputs. */
  private?: boolean;
  /** Reads the image back and writes it again, to check that both are the same. */
  debugValidation?: boolean;
  /** Path of an igvmfilegen program that builds the image instead of this package's loader. */
  loader?: string;
  /** How resources with a URL are downloaded, and where they are kept. */
  downloads?: DownloadOptions;
  /** Finds further mistakes in the manifest, before its resources are looked for. */
  check?: (loaded: LoadedManifest) => readonly IgvmError[];
  /** Receives the messages of that program. */
  message?: (text: string) => void;
  /** The form of a path in messages. Default: as given. */
  display?: (path: string) => string;
  /** Receives every warning at once, before the image is built. */
  warn?: (warning: ManifestWarning) => void;
  /** Called with the number of finished pages and the number of all pages. */
  progress?: (done: number, total: number) => void;
}

/**
 * Builds the image of a manifest and its sibling files. Either all of them appear at once, or none.
 * @throws IgvmError for whatever is wrong with manifest, resources or outputs
 */
export async function buildManifest(build: ManifestBuild): Promise<BuildReport> {
  const { warn = () => undefined, display = (path: string) => path } = build;
  const mistakes: IgvmError[] = [];
  const loaded = loadManifest(build.manifest, {
    within: build.workspaceRoot,
    conflicts: mistakes,
    strict: build.strict,
    display: display(build.manifest),
    disableSecureAvic: build.disableSecureAvic,
    confidentialDebug: build.confidentialDebug,
    embedCorim: build.embedCorim,
  });
  const refused = build.check?.(loaded) ?? [];
  if (refused.length > 0) throw combined([...mistakes, ...refused]);
  for (const warning of mistakes.length === 0 ? loaded.warnings : []) warn(warning);
  let located = new Map<ResourceName, LocatedResource>();
  try {
    located = locateResources(loaded, {
      workspaceRoot: build.workspaceRoot,
      resourcesFile: build.resources,
      display: build.display,
      resourcesDisplay: build.resources === undefined ? undefined : display(build.resources),
      strict: build.strict,
      warn,
    });
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    mistakes.push(error, ...error.also);
  }
  if (mistakes.length > 0) throw combined(mistakes);
  return await withDownloads(located, build.downloads, (resources) => buildWith(build, loaded, resources));
}

/**
 * Builds from downloads. A download that has been damaged in the cache is downloaded again: the build notices the
 * damage, as it checks every pinned file.
 */
async function withDownloads(
  located: ReadonlyMap<ResourceName, LocatedResource>,
  downloads: DownloadOptions | undefined,
  work: (resources: Map<ResourceName, ResolvedResource>) => Promise<BuildReport>,
): Promise<BuildReport> {
  const resources = await fetchResources(located, downloads);
  try {
    return await work(resources);
  } catch (error) {
    if (!(error instanceof IgvmError) || error.code !== 'RESOURCE_DIGEST') throw error;
    const { discardDamaged } = require('../resources/downloads') as typeof import('../resources/downloads');
    const downloaded = [...resources.values()].filter(({ isDownload }) => isDownload === true);
    if (!discardDamaged(downloaded)) throw error;
    return await work(await fetchResources(located, downloads));
  }
}

async function buildWith(
  build: ManifestBuild,
  loaded: LoadedManifest,
  resources: Map<ResourceName, ResolvedResource>,
): Promise<BuildReport> {
  const outside = notesOfOutside(resources);
  const otherInputs = [loaded.path, ...(build.resources === undefined ? [] : [resolve(build.resources)])];
  if (build.loader !== undefined) {
    const ovmf = loaded.manifest.guest_configs.findIndex(isOvmf);
    if (ovmf !== -1) {
      const where = loaded.positionOf(['guest_configs', ovmf, 'image']);
      throw new IgvmError(
        'EXTERNAL_LOADER_FAILED',
        'igvmfilegen has no ovmf images: build it without the loader',
        where,
        {
          saysAll: true,
        },
      );
    }
    const { buildWithExternalLoader } = require('./external-loader') as typeof import('./external-loader');
    const report = await buildWithExternalLoader({
      ...build,
      loader: build.loader,
      manifest: loaded.path,
      loaded: loaded.manifest,
      embedCorim: loaded.manifest.embed_corim,
      resources,
      otherInputs,
    });
    return { ...report, notes: [...report.notes, ...outside] };
  }
  const report = await buildImage({
    manifest: loaded.manifest,
    positionOf: (jsonPath) => loaded.positionOf(jsonPath),
    resources,
    output: build.output,
    otherInputs,
    private: build.private,
    debugValidation: build.debugValidation,
    progress: build.progress,
  });
  return { ...report, notes: [...report.notes, ...outside] };
}

/** Notes about inputs from outside the workspace, for readers of the manifest. */
const notesOfOutside = (resources: ReadonlyMap<ResourceName, ResolvedResource>): string[] =>
  [...resources].flatMap(([name, { outside, display }]) => {
    if (outside === undefined) return [];
    const how =
      outside === 'written' ? 'is a file outside the workspace' : 'is behind a link that leads out of the workspace';
    return [printable(`${name} ${how}: ${display}`)];
  });
