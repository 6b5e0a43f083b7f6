import type { WriteReport } from '../igvm/write-igvm';
import type { SiblingKind } from '../manifest/image-files';
import { digestHex } from '../measurement/launches';
import type { MeasuredPlatform } from '../igvm/isolation';
import { printable, withCommas } from '../errors/printable';

/** What a file of a build is; `other` is one of an external loader that has a name of its own. */
export type OutputKind = 'image' | 'map' | SiblingKind | 'other';

export interface BuiltFile {
  kind: OutputKind;
  /** As the output was named: absolute when it was. */
  path: string;
  /** Bytes. */
  size: number;
}

/** The launch digest of one guest. */
export interface BuiltMeasurement {
  platform: MeasuredPlatform;
  digest: Uint8Array;
}

/** What a build did. */
export interface BuildReport {
  /** The image first. */
  files: BuiltFile[];
  /** Sizes and page counts of the image; absent when an external loader wrote it. */
  image?: WriteReport;
  /** Of the guests that have one, in the manifest's order; none from an external loader. */
  measurements: BuiltMeasurement[];
  /** What the image leaves to others, one sentence each. */
  notes: string[];
  /** What is as it should be, and only matters to those who look closely. */
  details: string[];
}

function pageLines({ pages, emptyPages, uniquePages, dedupedBytes }: WriteReport): string[] {
  const stored = withCommas(pages - emptyPages);
  return [
    `  pages: ${withCommas(pages)}, of these ${withCommas(emptyPages)} empty and ${stored} with data (${withCommas(uniquePages)} distinct)`,
    `  deduplicated: ${withCommas(dedupedBytes)} bytes`,
  ];
}

/**
 * The report for people: no timings, and paths only as `display` gives them, so that it can be replayed from a cache.
 * @param display how the report names a path. Default: as it is
 * @param verbose whether the report has the details, too
 */
export function reportText(
  report: BuildReport,
  display: (path: string) => string = String,
  { verbose = false }: { verbose?: boolean } = {},
): string {
  const { image, files, measurements, notes, details } = report;
  const shown = (path: string): string => printable(display(path));
  const lines = [
    `${shown(files[0]?.path ?? '')}: ${withCommas(files[0]?.size ?? 0)} bytes`,
    ...(image === undefined ? [] : pageLines(image)),
    ...measurements.map(({ platform, digest }) => `  ${platform} launch digest: ${digestHex(digest)}`),
    ...[...notes, ...(verbose ? details : [])].map((note) => `  note: ${note}`),
    '  files:',
    ...files.map(({ path, size }) => `    ${shown(path)} (${withCommas(size)} bytes)`),
  ];
  return `${lines.join('\n')}\n`;
}
