/** JSON Schemas: their type, and their text in the reference pages. */

/** A text that editors offer to insert. `${1:…}` is a place to fill in. A text that begins with `^` is inserted without quotes. */
export interface Snippet {
  label: string;
  description?: string;
  body: unknown;
}

/** The part of JSON Schema that this package's schemas use. */
export interface JsonSchema {
  $ref?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: boolean | JsonSchema;
  required?: string[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  definitions?: Record<string, JsonSchema>;
  // The following keywords are for editors; validators ignore them.
  /** The meaning of each value of `enum`. */
  markdownEnumDescriptions?: string[];
  /** `description` as Markdown. */
  markdownDescription?: string;
  defaultSnippets?: Snippet[];
  examples?: unknown[];
  /** Replaces an editor's own message. */
  errorMessage?: string;
  [key: string]: unknown;
}

const code = (value: unknown): string => `\`${JSON.stringify(value)}\``;

/** Text for a cell of a Markdown table. */
export const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The name of the definition that a schema refers to, directly or in the wrapper with which zod adds a description. */
function definitionOf(schema: JsonSchema): string | undefined {
  const all = schema['allOf'] as JsonSchema[] | undefined;
  return (schema.$ref ?? (all?.length === 1 ? all[0]!.$ref : undefined))?.replace('#/definitions/', '');
}

/** Follows a reference. */
function resolveRef(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const name = definitionOf(schema);
  if (name === undefined) return schema;
  const target = root.definitions?.[name] ?? {};
  return { ...target, ...(schema.description === undefined ? {} : { description: schema.description }) };
}

/** The description. A nullable value has that of its alternative. */
export function descriptionOf(schema: JsonSchema): string {
  return schema.description ?? schema.anyOf?.map(({ description }) => description).find(Boolean) ?? '';
}

/** The key of an object with one required key: the form of a variant with content. */
export function tagOf(schema: JsonSchema): string | undefined {
  const keys = Object.keys(schema.properties ?? {});
  return keys.length === 1 && schema.required?.[0] === keys[0] ? keys[0] : undefined;
}

function describeNumber({ minimum, maximum }: JsonSchema): string {
  if (minimum === undefined && maximum === undefined) return 'number';
  // JavaScript has no exact number for the largest u64.
  const upper =
    maximum !== undefined && maximum > Number.MAX_SAFE_INTEGER ? `2^${Math.round(Math.log2(maximum))} - 1` : maximum;
  if (upper === undefined) return `whole number, at least ${minimum}`;
  return minimum === undefined ? `whole number, at most ${upper}` : `whole number, ${minimum} to ${upper}`;
}

/** The possible values, in a few words. */
export function describeType(schema: JsonSchema, root: JsonSchema = schema): string {
  const definition = definitionOf(schema);
  if (definition !== undefined) return `[${definition}](#forms-of-a-${definition})`;
  const resolved = resolveRef(schema, root);
  if (resolved.const !== undefined) return code(resolved.const);
  if (resolved.enum !== undefined) return resolved.enum.map(code).join(', ');
  const union = resolved.anyOf ?? resolved.oneOf;
  // An option's `anyOf` beside a type is for Nx (src/executors/schemas/build.json).
  if (union !== undefined && resolved.type === undefined)
    return [...new Set(union.map((option) => describeType(option, root)))].join(' or ');
  const tag = tagOf(resolved);
  if (tag !== undefined) return `\`{ "${tag}": … }\``;
  if (resolved.type === 'array') return `list of ${describeType(resolved.items ?? {}, root)}`;
  if (resolved.type === 'integer' || resolved.type === 'number') return describeNumber(resolved);
  if (resolved.type === 'boolean') return '`true` or `false`';
  if (resolved.type === undefined) return 'any value';
  return String(resolved.type);
}

/** The description, and the meaning of each value of an enum. */
function meaningOf(schema: JsonSchema): string {
  const values = (schema.enum ?? []).map(
    (value, index) => `${code(value)}: ${schema.markdownEnumDescriptions?.[index]}`,
  );
  return [descriptionOf(schema), ...(schema.markdownEnumDescriptions === undefined ? [] : values)].join(' ');
}

/** A table of an object's keys. */
function keyTable(schema: JsonSchema, root: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const resolved = resolveRef(property, root);
    const fallback = resolved.default === undefined ? '' : code(resolved.default);
    const need = schema.required?.includes(name) ? 'required' : fallback;
    return `| \`${name}\` | ${cell(describeType(property, root))} | ${need} | ${cell(meaningOf(resolved))} |`;
  });
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** A part of a schema that has keys of its own. */
interface SchemaSection {
  /** Path from the root, as messages write it. */
  path: string;
  schema: JsonSchema;
}

/** All objects with keys, outermost first. A shared definition appears once, under its own name. */
function sections(root: JsonSchema): SchemaSection[] {
  const found: SchemaSection[] = [];
  const visit = (schema: JsonSchema, path: string): void => {
    if (definitionOf(schema) !== undefined) return;
    for (const option of schema.anyOf ?? []) visit(option, path);
    if (schema.items !== undefined) visit(schema.items, `${path}[]`);
    if (schema.properties === undefined) return;
    if (tagOf(schema) === undefined) found.push({ path, schema });
    for (const [name, property] of Object.entries(schema.properties)) {
      visit(property, path === '' ? name : `${path}.${name}`);
    }
  };
  visit(root, '');
  return found;
}

/** A section with a table of keys for each part of a schema that has keys. @param title the title of the outermost section */
export function keySections(root: JsonSchema, title: string): string {
  const parts = sections(root).map(({ path, schema }) =>
    path === ''
      ? `## ${title}\n\n${keyTable(schema, root)}\n`
      : `## \`${path}\`\n\n${descriptionOf(schema)}\n\n${keyTable(schema, root)}\n`,
  );
  return parts.join('\n');
}
