import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  BOOT_CODES,
  CLI_CODES,
  DOWNLOAD_CODES,
  ENDORSEMENT_CODES,
  FILE_CODES,
  FORMAT_CODES,
  INITRD_CODES,
  LOADER_CODES,
  LOCK_CODES,
  MANIFEST_CODES,
  NX_CODES,
} from '../errors/codes';
import { cell, type JsonSchema } from './describe-schema';
import { initrdReference, manifestReference } from './manifest-reference';
import {
  cliReference,
  type CollectionEntry,
  executorReference,
  generatorReference,
  pluginReference,
} from './options-reference';
import { editorSchema, jsonSchemas } from './schemas';

/** All tables of error codes with their headings, in the order of the page. */
export const AREAS = [
  ['The manifest and its resources', MANIFEST_CODES],
  ['Resources from the web', DOWNLOAD_CODES],
  ['Files', FILE_CODES],
  ['Laying out the guest', LOADER_CODES],
  ['The IGVM format', FORMAT_CODES],
  ['Measurements, signatures and endorsements', ENDORSEMENT_CODES],
  ['The measurement lock', LOCK_CODES],
  ['Packing an initramfs', INITRD_CODES],
  ['Booting an image', BOOT_CODES],
  ['The command line', CLI_CODES],
  ['Nx', NX_CODES],
] as const;

const INTRODUCTION = `# Errors

Every failure that a user or an input file can cause has a code, which doesn't change between versions. The message says what is wrong and
where: file, line, column and JSON path, byte offset, or guest address. Any other failure is a bug; please report it.
`;

/** docs/errors.md. */
export function errorsReference(): string {
  const parts = AREAS.filter(([, codes]) => Object.keys(codes).length > 0).map(([title, codes]) => {
    const rows = Object.entries(codes).map(
      ([name, { cause, cure }]) => `| \`${name}\` | ${cell(cause)} | ${cell(cure)} |`,
    );
    return `## ${title}\n\n${['| code | cause | what to do |', '| --- | --- | --- |', ...rows].join('\n')}\n`;
  });
  return [INTRODUCTION, ...parts].join('\n');
}

interface CollectionFile {
  [kind: string]: Record<string, { schema: string; description: string; hidden?: boolean }>;
}

/** The entries of executors.json or generators.json, with their schemas in the source. */
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

/**
 * The contents of all generated files by their paths in the repository. `npm run generate` writes them. Compare JSON by value, because the
 * formatter changes its layout.
 */
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
