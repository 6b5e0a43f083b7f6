import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as Ejs from 'ejs';
import type { Tree } from 'nx/src/devkit-exports';

/** What templates may name. `name` also stands for `__name__` in the name of a file. */
export type Variables = Readonly<Record<string, unknown>> & { readonly name: string };

/**
 * Writes the files of a folder of EJS templates, which end in `.template`.
 * @param templates absolute path
 * @param target folder in the workspace
 * @param keep whether a file that is there already stays
 */
export function generateFiles(
  tree: Tree,
  templates: string,
  target: string,
  variables: Variables,
  { keep = false } = {},
): void {
  const ejs = require('ejs') as typeof Ejs;
  for (const file of readdirSync(templates, { recursive: true }) as string[]) {
    if (!file.endsWith('.template')) continue;
    const source = join(templates, file);
    const path = join(target, file)
      .replace(/\.template$/, '')
      .replaceAll('__name__', variables.name);
    if (keep && tree.exists(path)) continue;
    tree.write(path, ejs.render(readFileSync(source, 'utf8'), variables, { filename: source }));
  }
}
