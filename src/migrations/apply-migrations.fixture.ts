import type { Tree } from '@nx/devkit';

/** An entry of migrations.json. */
export interface MigrationEntry {
  /** The version of this package that a workspace is migrated to. */
  version: string;
  description: string;
  /** Below dist, without an extension. */
  implementation: string;
}

export type Migration = (tree: Tree) => unknown;

/** The numbers of a version. Prereleases of one version need the same migrations, so the rest doesn't count. */
const parts = (version: string): number[] => version.split('-', 1)[0]!.split('.').map(Number);

export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  const index = left.findIndex((part, place) => part !== right[place]);
  return index === -1 ? 0 : left[index]! - right[index]!;
}

/**
 * Migrates a workspace like `nx migrate`: runs every migration above the version it comes from, in order. Each runs a second
 * time, which must change nothing, because users run migrations again after a conflict.
 * @returns names of the migrations that ran
 */
export async function applyMigrations(
  tree: Tree,
  entries: Record<string, MigrationEntry>,
  load: (entry: MigrationEntry) => Migration,
  from: string,
): Promise<string[]> {
  const due = Object.entries(entries)
    .filter(([, { version }]) => compareVersions(version, from) > 0)
    .sort(([, a], [, b]) => compareVersions(a.version, b.version));
  for (const [name, entry] of due) {
    const migrate = load(entry);
    await migrate(tree);
    const once = snapshot(tree);
    await migrate(tree);
    if (JSON.stringify(snapshot(tree)) !== JSON.stringify(once)) {
      throw new Error(`the migration ${name} changes something again when it runs again`);
    }
  }
  return due.map(([name]) => name);
}

function snapshot(tree: Tree): [string, string | undefined][] {
  return tree.listChanges().map(({ path, content }) => [path, content?.toString('base64')]);
}
