import * as z from 'zod/mini';
import { initrdSchema } from '../initrd/initrd-schema';
import { lockSchema } from '../lock/lock-schema';
import { manifestSchema } from '../manifest/manifest-schema';
import { resourcesFileSchema } from '../manifest/resources-schema';
import { pluginOptionsSchema } from './plugin-options-schema';

/** What an editor offers to insert; `${1:…}` are places to fill in, and `^` at the beginning of a text means that it is no string. */
export interface Snippet {
  label: string;
  description?: string;
  body: unknown;
}

/** JSON Schema as far as this package's schemas use it. */
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
  /** What follows is for editors; validators ignore it. The meaning of each value of `enum`. */
  markdownEnumDescriptions?: string[];
  /** `description` as Markdown. */
  markdownDescription?: string;
  defaultSnippets?: Snippet[];
  examples?: unknown[];
  /** In the place of an editor's own message. */
  errorMessage?: string;
  [key: string]: unknown;
}

const SOURCES = {
  igvm: manifestSchema,
  resources: resourcesFileSchema(),
  'igvm.lock': lockSchema,
  initrd: initrdSchema,
  'plugin-options': pluginOptionsSchema,
};

/** A zod schema as JSON Schema for editors, which mark the keys that the build would only warn of. */
function toJsonSchema(schema: z.ZodMiniType): JsonSchema {
  return z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    // Exact integers are bigints after validation; the schemas state what they are in JSON.
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod;
      // zod leaves out the default of what it transforms.
      if (def.type === 'default') jsonSchema.default ??= def.defaultValue as typeof jsonSchema.default;
      if (jsonSchema.properties !== undefined) jsonSchema.additionalProperties ??= false;
    },
  }) as JsonSchema;
}

/** The published schemas by the names of their files. */
export function jsonSchemas(): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(SOURCES).map(([name, schema]) => [`schemas/${name}.schema.json`, toJsonSchema(schema)]),
  );
}
