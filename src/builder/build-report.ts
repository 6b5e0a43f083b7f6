import type { WriteReport } from '../igvm/write-igvm';
import type { SiblingKind } from '../manifest/image-files';
import type { MeasuredPlatform } from '../igvm/platforms';
import { digestHex, printable, withCommas } from '../errors/printable';

/** The kind of a file of a build; `other` is a file of an external loader with another name. */
export type OutputKind = 'image' | 'map' | SiblingKind | 'other';

export interface BuiltFile {
  kind: OutputKind;
  /** In the form of the output path: absolute if that was absolute. */
  path: string;
  /** Bytes. */
  size: number;
}

/** The launch digest of one guest. */
export interface BuiltMeasurement {
  platform: MeasuredPlatform;
  digest: Uint8Array;
}

/** The result of a build. */
export interface BuildReport {
  /** The image first. */
  files: BuiltFile[];
  /** Sizes and page counts of the image; absent when an external loader wrote it. */
  image?: WriteReport;
  /** The digests of the guests that have one, in the manifest's order; none from an external loader. */
  measurements: BuiltMeasurement[];
  /** What the user should know about the image, one sentence each. */
  notes: string[];
  /** Further details, shown only on request. */
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
 * The report for people. It has no timings, and paths only in the form of `display`, so that it can be replayed from a
 * cache.
 * @param display the form of a path in the report. Default: unchanged
 * @param verbose whether the report includes the details
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
