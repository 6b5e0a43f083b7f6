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
      // An option with a default is never asked for, even where Nx lists it as required.
      const need = fallback === '' && schema.required?.includes(name) ? 'required' : fallback;
      return `| \`${flag(name)}\` | ${cell(describeType(option))} | ${need} | ${cell(option.description ?? '')} |`;
    });
  return ['| option | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** What Nx prints of an example under `--help`; other shapes come out as `undefined` there. */
export interface SchemaExample {
  command: string;
  description: string;
}

export const examplesOf = (schema: JsonSchema): SchemaExample[] => (schema['examples'] ?? []) as SchemaExample[];

/** Examples that e2e/pages.e2e.ts can't run. */
const NOT_RUN: Record<string, string> = {
  'npx create-nx-workspace my-images --preset=nx-igvm':
    'there is no create-nx-workspace 24 yet, and it takes the network',
};

/** The examples as commands with their meaning above them. */
function commandBlock(examples: readonly SchemaExample[]): string {
  const block = (some: readonly SchemaExample[]): string =>
    `\`\`\`sh\n${some.map(({ command, description }) => `# ${description}\n${command}`).join('\n')}\n\`\`\`\n`;
  const run = examples.filter(({ command }) => NOT_RUN[command] === undefined);
  const others = examples.filter(({ command }) => NOT_RUN[command] !== undefined);
  const marked = others.map((each) => `<!-- not run: ${NOT_RUN[each.command]} -->\n${block([each])}`);
  return [...(run.length === 0 ? [] : [block(run)]), ...marked].join('\n');
}

/** docs/executors/NAME.md */
export function executorReference({ name, schema, description }: CollectionEntry): string {
  return [
    `# nx-igvm:${name}\n`,
    `${schema.description ?? description}\n`,
    commandBlock(examplesOf(schema)),
    'In project.json the options are in `options` of a target whose `executor` is ' +
      `\`nx-igvm:${name}\`, under the same names. Inferred targets have those that they need.\n`,
    `## Options\n\n${optionsTable(schema, (option) => option)}\n`,
  ].join('\n');
}

/** docs/generators/NAME.md */
export function generatorReference({ name, schema, description }: CollectionEntry): string {
  const examples = examplesOf(schema);
  return [
    `# nx-igvm:${name}\n`,
    `${schema.description ?? description}\n`,
    examples.length === 0 ? `\`\`\`sh\nnx g nx-igvm:${name}\n\`\`\`\n` : commandBlock(examples),
    `## Options\n\n${optionsTable(schema, (option) => `--${option}`)}\n`,
  ].join('\n');
}
