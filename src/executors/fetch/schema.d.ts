/** Options of `nx-igvm:fetch`; schema.json describes them. Paths are relative to the workspace. */
export interface FetchExecutorSchema {
  manifest: string;
  downloads?: string;
  downloadLimit?: string;
}
