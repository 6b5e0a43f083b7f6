import type { InspectFormat } from '../../inspect/inspect-file';

/** Options of `nx-igvm:inspect`; schema.json describes them. Paths are relative to the workspace. */
export interface InspectExecutorSchema {
  image: string;
  format?: InspectFormat;
  lock?: string;
  outputPath?: string;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
