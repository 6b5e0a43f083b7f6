/** Options of `nx-igvm:build`; schema.json describes them. Paths are relative to the workspace. */
export interface BuildExecutorSchema {
  manifest: string;
  resources?: string;
  outputPath?: string;
  debugValidation?: boolean;
  disableSecureAvic?: boolean;
  confidentialDebug?: boolean;
  private?: boolean;
  embedCorim?: boolean;
  strict?: boolean;
  loader?: string;
  downloads?: string;
  downloadLimit?: string;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
