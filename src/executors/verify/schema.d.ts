/** Options of `nx-igvm:verify`; schema.json describes them. Paths are relative to the workspace. */
export interface VerifyExecutorSchema {
  image: string;
  lock: string;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
