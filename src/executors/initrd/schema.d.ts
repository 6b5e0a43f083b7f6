/** Options of `nx-igvm:initrd`; schema.json describes them. Paths are relative to the workspace. */
export interface InitrdExecutorSchema {
  config: string;
  outputPath?: string;
  private?: boolean;
  downloads?: string;
  downloadLimit?: string;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
