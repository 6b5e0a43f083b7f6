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
