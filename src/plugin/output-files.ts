import type { InferredProject } from './inferred-image';
import { optionPath } from './own-target';
import { escapeGlob } from './resource-inputs';

/**
 * A target's outputs, each file by its name: the folder may have files of others, which a cache hit would remove. The
 * folder is an option, so that outputs follow it; one with special characters can't be, as Nx would take it for a pattern.
 * @param folder the option `outputPath`
 */
export function outputFiles(folder: string, names: readonly string[], project: InferredProject): string[] {
  const path = optionPath(folder, project);
  const start = escapeGlob(path) === path ? '{options.outputPath}' : `{workspaceRoot}/${escapeGlob(path)}`;
  return names.map((name) => `${start}/${escapeGlob(name)}`);
}
