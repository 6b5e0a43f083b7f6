/** `nx-igvm:sync-lock` has no options: sync generators get none. */
export type SyncLockGeneratorSchema = Record<string, never>;
