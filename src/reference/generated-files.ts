/** Every file of the repository that is generated from the source: `npm run generate` writes them. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cliReference } from './cli-reference';
import { type CollectionEntry, executorReference, generatorReference } from './collection-reference';
import { editorSchema } from './editor-schema';
import { errorsReference } from './errors-reference';
import { initrdReference } from './initrd-reference';
import type { JsonSchema } from './json-schema';
import { manifestReference } from './manifest-reference';
import { pluginReference } from './plugin-reference';
import { jsonSchemas } from './schemas';

interface CollectionFile {
  [kind: string]: Record<string, { schema: string; description: string; hidden?: boolean }>;
}

/** Entries of executors.json or generators.json, with the schemas of the source. */
export function collection(root: string, kind: 'executors' | 'generators'): CollectionEntry[] {
  const path = join(root, `${kind}.json`);
  if (!existsSync(path)) return [];
  const entries = Object.entries((JSON.parse(readFileSync(path, 'utf8')) as CollectionFile)[kind] ?? {});
  return entries.map(([name, { schema, description }]) => ({
    name,
    description,
    schema: JSON.parse(readFileSync(join(root, schema.replace('./dist/', 'src/')), 'utf8')) as JsonSchema,
  }));
}

/** Contents by path, relative to the repository. JSON is compared by value, as the formatter lays it out. */
export function generatedFiles(root: string): Record<string, string> {
  const schemas = jsonSchemas();
  const pages = {
    'docs/manifest.md': manifestReference(schemas['schemas/igvm.schema.json']!),
    'docs/initrd.md': initrdReference(schemas['schemas/initrd.schema.json']!),
    'docs/plugin-options.md': pluginReference(schemas['schemas/plugin-options.schema.json']!),
    'docs/errors.md': errorsReference(),
    'docs/cli.md': cliReference(),
    ...Object.fromEntries(
      collection(root, 'executors').map((entry) => [`docs/executors/${entry.name}.md`, executorReference(entry)]),
    ),
    ...Object.fromEntries(
      collection(root, 'generators').map((entry) => [`docs/generators/${entry.name}.md`, generatorReference(entry)]),
    ),
  };
  const json = Object.entries(schemas).map(([path, schema]) => {
    const published = editorSchema(basename(path, '.schema.json'), schema);
    return [path, `${JSON.stringify(published, null, 2)}\n`] as const;
  });
  return { ...Object.fromEntries(json), ...pages };
}
