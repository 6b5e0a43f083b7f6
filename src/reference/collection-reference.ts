/** Pages about executors and generators, from their schemas. */
import { cell, describeType } from './describe-schema';
import type { JsonSchema } from './json-schema';

/** An entry of executors.json or generators.json with its schema. */
export interface CollectionEntry {
  name: string;
  description: string;
  schema: JsonSchema;
}

function optionsTable(schema: JsonSchema, flag: (name: string) => string): string {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([, { hidden }]) => hidden !== true)
    .map(([name, option]) => {
      const fallback = option.default === undefined ? '' : `\`${JSON.stringify(option.default)}\``;
      const need = schema.required?.includes(name) ? 'required' : fallback;
      return `| \`${flag(name)}\` | ${cell(describeType(option))} | ${need} | ${cell(option.description ?? '')} |`;
    });
  return ['| option | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const examplesOf = (schema: JsonSchema): unknown[] => (Array.isArray(schema['examples']) ? schema['examples'] : []);

/** docs/executors/NAME.md */
export function executorReference({ name, schema, description }: CollectionEntry): string {
  const examples = examplesOf(schema).map(
    (options) => `\`\`\`json\n${JSON.stringify({ executor: `nx-igvm:${name}`, options }, null, 2)}\n\`\`\`\n`,
  );
  return [
    `# nx-igvm:${name}\n`,
    `${schema.description ?? description}\n`,
    `## Options\n\n${optionsTable(schema, (option) => option)}\n`,
    ...(examples.length === 0 ? [] : [`## Examples\n`, ...examples]),
  ].join('\n');
}

/** A generator's example: a command line, or a command with its description, or the options. */
function generatorExample(name: string, example: unknown): string {
  if (typeof example === 'string') return example;
  const { command, description } = example as { command?: unknown; description?: unknown };
  if (typeof command === 'string') return typeof description === 'string' ? `# ${description}\n${command}` : command;
  const flags = Object.entries(example as object).map(([option, value]) => `--${option}=${String(value)}`);
  return [`nx g nx-igvm:${name}`, ...flags].join(' ');
}

/** docs/generators/NAME.md */
export function generatorReference({ name, schema, description }: CollectionEntry): string {
  const examples = examplesOf(schema).map((example) => generatorExample(name, example));
  const commands = examples.length === 0 ? [`nx g nx-igvm:${name}`] : examples;
  return [
    `# nx-igvm:${name}\n`,
    `${schema.description ?? description}\n`,
    `\`\`\`sh\n${commands.join('\n')}\n\`\`\`\n`,
    `## Options\n\n${optionsTable(schema, (option) => `--${option}`)}\n`,
  ].join('\n');
}
