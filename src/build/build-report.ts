import type { WriteReport } from '../igvm/write-igvm';
import type { MeasuredPlatform } from '../measurement/measured-platform';

/** What a file of a build is. */
export type OutputKind = 'image' | 'map' | 'identity' | 'corim' | 'idBlock';

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
  /** Sizes and page counts of the image. */
  image: WriteReport;
  /** Of the guests that have one, in the manifest's order. */
  measurements: BuiltMeasurement[];
  /** What the image leaves to others, one sentence each. */
  notes: string[];
}

const count = (value: number): string => value.toLocaleString('en-US');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase();

/**
 * The report for people: no timings, and paths only as `display` gives them, so that it can be replayed from a cache.
 */
export function reportText(report: BuildReport, display: (path: string) => string): string {
  const { image, files, measurements, notes } = report;
  const stored = image.pages - image.emptyPages;
  const lines = [
    `${files.map(({ path }) => display(path))[0] ?? ''}: ${count(image.fileSize)} bytes`,
    `  pages: ${count(image.pages)}, of these ${count(image.emptyPages)} empty and ${count(stored)} with data (${count(image.uniquePages)} distinct)`,
    `  deduplicated: ${count(image.dedupedBytes)} bytes`,
    ...measurements.map(({ platform, digest }) => `  ${platform} launch digest: ${hex(digest)}`),
    ...notes.map((note) => `  note: ${note}`),
    '  files:',
    ...files.map(({ path, size }) => `    ${display(path)} (${count(size)} bytes)`),
  ];
  return `${lines.join('\n')}\n`;
}
