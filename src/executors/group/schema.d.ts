/** Options of `nx-igvm:group`; schema.json describes them. */
export interface GroupExecutorSchema {
  targets: string[];
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
