/** The published JSON Schemas: generated from the zod schemas, with texts that editors show and insert. */
import { z } from 'zod';
import { initrdSchema } from '../initrd/initrd-schema';
import { lockSchema } from '../lock/lock-schema';
import { manifestSchema } from '../manifest/manifest-schema';
import { resourcesFileSchema } from '../manifest/resources-schema';
import { TARGET_KINDS, type TargetKind } from '../plugin/configuration';
import { type JsonSchema, tagOf } from './describe-schema';
import { HINTS } from './editor-hints';

/** The descriptions of the targets in the plugin's options. */
const KINDS: Record<TargetKind, string> = {
  build: 'Builds an image from its manifest: `igvm.json` or `NAME.igvm.json`.',
  fetch: 'Downloads the resources that an image names by URL. Only images with such resources have this target.',
  inspect: 'Shows the content of a built image.',
  measure: 'Computes the launch digests of a built image.',
  verify: 'Checks a built image against its lock, `igvm.lock.json`.',
  sign: 'Signs a built image.',
  boot: 'Boots a built image on this machine.',
  'boot-test':
    'Boots a built image and checks its output, as `boot_test` in its manifest says. With a name or an object here, every image that can boot on this machine has this target.',
  initrd: 'Packs an initramfs as an `initrd.json` says. It is called `build` in a project without an image.',
};

const list = (description: string) => z.array(z.unknown()).optional().meta({ description });
const record = (description: string) => z.record(z.string(), z.unknown()).optional().meta({ description });

const extension = z
  .looseObject({
    name: z.string().min(1).optional().meta({ description: 'Another name for the target.' }),
    options: record('Options of the executor, in addition to the inferred ones.'),
    configurations: record('Configurations of the target.'),
    inputs: list('Inputs; `"..."` stands for the inferred ones.'),
    outputs: list('Outputs; `"..."` stands for the inferred ones.'),
    dependsOn: list('Targets that run before; `"..."` stands for the inferred ones.'),
    cache: z.boolean().optional().meta({ description: 'Whether the outputs are cached.' }),
  })
  .meta({ description: 'Changes to the target: any key of a target in project.json, and `name`.' });

const targetOption = (description: string) =>
  z
    .union([
      z.string().min(1).meta({ description: 'Another name for the target.' }),
      z.literal(false).meta({ description: 'No such target.' }),
      extension,
    ])
    .optional()
    .meta({ description });

const kinds = Object.fromEntries(TARGET_KINDS.map((kind) => [kind, targetOption(KINDS[kind])])) as Record<
  TargetKind,
  ReturnType<typeof targetOption>
>;

const resourceTargets = z.array(z.string().min(1)).optional().meta({
  description:
    'Targets that Nx does not cache, but that resources of manifests may use: `project:target`, or `target` for any project. They must be listed here because a manifest does not look like code, but makes these targets run.',
});

/** The plugin's options in nx.json. Nx itself doesn't validate the options of plugins. */
const pluginOptionsSchema = z.strictObject({ ...kinds, resourceTargets }).meta({
  title: 'Options of nx-igvm',
  description:
    'The `options` of the plugin in nx.json: one key for each kind of inferred target, and the targets that resources may run.',
});

/** The zod schemas by the names of the published ones. */
const SOURCES = {
  igvm: manifestSchema,
  resources: resourcesFileSchema(),
  'igvm.lock': lockSchema,
  initrd: initrdSchema,
  'plugin-options': pluginOptionsSchema,
};

/** Converts a zod schema to JSON Schema. Unknown keys are forbidden, so editors mark those that a build would only warn of. */
function toJsonSchema(schema: z.core.$ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    // Exact integers become bigints in validation. Their schemas state their type in JSON.
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod;
      // zod leaves out the defaults of transformed values.
      if (def.type === 'default') jsonSchema.default ??= def.defaultValue as typeof jsonSchema.default;
      if (jsonSchema.properties !== undefined) jsonSchema.additionalProperties ??= false;
    },
  }) as JsonSchema;
}

/** The schemas by the paths of their files, without the keywords for editors. */
export function jsonSchemas(): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(SOURCES).map(([name, schema]) => [`schemas/${name}.schema.json`, toJsonSchema(schema)]),
  );
}

/**
 * The keywords of the published schemas that are not part of JSON Schema. VS Code's JSON service, among others, shows and inserts their
 * contents. Validators ignore unknown keywords, but one in strict mode has to be told of these.
 */
export const EDITOR_KEYWORDS = [
  'markdownDescription',
  'markdownEnumDescriptions',
  'enumDescriptions',
  'defaultSnippets',
  'errorMessage',
] as const;

const withoutMarkup = (text: string): string => text.replaceAll('`', '');

/** The place of a key in a document: `a.b` for a nested key, `a[]` for the items of a list, `a.*` for the values of arbitrary keys. */
type KeyPath = string;

const below = (path: KeyPath, key: string): KeyPath => (path === '' ? key : `${path}.${key}`);

/** The direct parts of a schema, with their places in the document. */
function children(schema: JsonSchema, path: KeyPath): [child: JsonSchema, path: KeyPath][] {
  const alternatives = [...(schema.anyOf ?? []), ...(schema.allOf ?? []), ...(schema.oneOf ?? [])];
  return [
    ...alternatives.map((each): [JsonSchema, KeyPath] => [each, path]),
    ...(schema.items === undefined ? [] : [[schema.items, `${path}[]`] as [JsonSchema, KeyPath]]),
    ...Object.entries(schema.properties ?? {}).map(([key, each]): [JsonSchema, KeyPath] => [each, below(path, key)]),
    ...(typeof schema.additionalProperties === 'object'
      ? [[schema.additionalProperties, below(path, '*')] as [JsonSchema, KeyPath]]
      : []),
    ...Object.entries(schema.definitions ?? {}).map(([name, each]): [JsonSchema, KeyPath] => [each, `#${name}`]),
  ];
}

/** A schema and all of its parts, with their places in the document. The definition `x` is at `#x`. */
export function allSchemas(schema: JsonSchema, path: KeyPath = ''): [schema: JsonSchema, path: KeyPath][] {
  return [[schema, path], ...children(schema, path).flatMap(([child, at]) => allSchemas(child, at))];
}

/** Editors show the description of a key, not those of its alternatives, so a key without one gets that of an alternative. */
function describeAtKey(schema: JsonSchema): void {
  for (const property of Object.values(schema.properties ?? {})) {
    const described = property.anyOf?.find(({ description }) => description !== undefined);
    if (property.description === undefined && described !== undefined) property.description = described.description!;
  }
}

/**
 * Rewrites a choice between words and objects with one key each. If no alternative fits, an editor reports the first one. So the first is
 * an object with a message that names all alternatives. The words become `enum`, because hovers show the meanings of `enum` but not of
 * `const`.
 */
function showVariants(schema: JsonSchema): void {
  const { anyOf = [] } = schema;
  const words = anyOf.filter((each) => typeof each.const === 'string');
  const objects = anyOf.filter((each) => tagOf(each) !== undefined);
  const [first, ...others] = objects;
  if (first === undefined) return;
  const tags = objects.map((each) => `{ "${tagOf(each)}": … }`);
  first.errorMessage = `Expected one of ${[...words.map((each) => JSON.stringify(each.const)), ...tags].join(', ')}.`;
  const plain = words.map(({ const: word, description, ...rest }) => ({
    ...rest,
    enum: [word],
    markdownEnumDescriptions: [description ?? ''],
  }));
  const rest = anyOf.filter((each) => !words.includes(each) && !objects.includes(each));
  schema.anyOf = [first, ...others, ...plain, ...rest];
}

/** Moves Markdown to keywords of its own, and leaves plain text for editors that don't render it. */
function addMarkdown(schema: JsonSchema): void {
  if (schema.description !== undefined) {
    schema.markdownDescription = schema.description;
    schema.description = withoutMarkup(schema.description);
  }
  if (schema.markdownEnumDescriptions !== undefined) {
    schema['enumDescriptions'] = schema.markdownEnumDescriptions.map(withoutMarkup);
  }
}

/** A schema with everything that editors show and insert. @param name the name of its file: `igvm` for igvm.schema.json */
export function editorSchema(name: string, schema: JsonSchema): JsonSchema {
  const result = structuredClone(schema);
  const hints = HINTS[name] ?? {};
  for (const change of [describeAtKey, showVariants, addMarkdown]) {
    for (const [each] of allSchemas(result)) change(each);
  }
  for (const [path, hint] of Object.entries(hints)) {
    // Editors take insertions from the outermost schema of a key.
    const target = allSchemas(result).find(([, at]) => at === path);
    if (target === undefined) throw new Error(`${name}: there is a hint for ${path}, which is not a key`);
    Object.assign(target[0], hint);
  }
  return result;
}
