import { cell, describeType, descriptionOf } from './describe-schema';
import type { JsonSchema } from './schemas';

/** Pages about executors and generators, from their schemas. */

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
  'npx create-nx-workspace my-images --preset=nx-igvm': 'it takes nx-igvm from the registry, and installs a workspace',
  'nx fetch my-image': 'a manifest with a URL is needed; e2e/caching/sharing.e2e.ts has one, and a server',
  'nx run my-image:reference-values': 'the user writes this target; docs/reference-values.md shows one',
  'nx run my-image:reference-values --signKey=build.pem --envelope=sigstore':
    'the user writes this target; docs/reference-values.md shows one',
  'nx run my-image:verify-report --report=report.bin --nonce=0123456789abcdef': 'a report of a running guest is needed',
  'nx g nx-igvm:initrd app-guest --image=app:image:dist/app.tar':
    'a project that builds a container image is needed; e2e/container.e2e.ts has one',
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
    '## Options\n',
    `In project.json, they go into \`options\` of a target with the \`executor\` \`nx-igvm:${name}\`. Inferred targets have those that they need.\n`,
    `${optionsTable(schema, (option) => option)}\n`,
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

const INTRODUCTION = `# Plugin options

The entry for the plugin in nx.json may change what it infers:

\`\`\`json
{
  "plugins": [
    {
      "plugin": "nx-igvm",
      "options": {
        "build": { "name": "image", "options": { "strict": true }, "inputs": ["...", "{projectRoot}/notes.txt"] },
        "inspect": "dump",
        "boot": false
      }
    }
  ]
}
\`\`\`

Each kind of inferred target has a key. Its value is

- another name for the target,
- \`false\`, for no such target, or
- an object that extends the target. It may have \`name\` and every key of a target in project.json. \`options\`, \`configurations\` and
  \`metadata\` are merged key by key. A list replaces the inferred one, and \`"..."\` in it stands for the inferred entries.

In such an object, \`{imageName}\` stands for the image's name, like Nx's own \`{projectName}\` and \`{projectRoot}\`:
\`"options": { "outputPath": "images/{imageName}" }\`. Targets that read an image look where its build writes it by default, with the
target's \`defaultConfiguration\` if it has one. Don't set \`outputPath\` in other configurations.

A project with several images has a target \`KIND-NAME\` for each. \`build\`, \`inspect\`, \`measure\`, \`verify\` and \`boot-test\` also have a target
\`KIND\` that runs them all. \`boot\` and \`sign\` don't: use \`nx boot-NAME PROJECT\`.

Nx's own schema of nx.json doesn't cover the options of plugins. To have an editor check and complete them, combine both schemas in a file,
here \`nx.schema.json\` in the workspace's root, and name it in nx.json as \`"$schema": "./nx.schema.json"\`:

\`\`\`json
{
  "allOf": [{ "$ref": "./node_modules/nx/schemas/nx-schema.json" }],
  "properties": {
    "plugins": {
      "items": {
        "if": { "properties": { "plugin": { "const": "nx-igvm" } }, "required": ["plugin"] },
        "then": { "properties": { "options": { "$ref": "./node_modules/nx-igvm/schemas/plugin-options.schema.json" } } }
      }
    }
  }
}
\`\`\`

## Keys
`;

/** docs/plugin-options.md. @param schema the JSON Schema of the options */
export function pluginReference(schema: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(
    ([kind, option]) => `| \`${kind}\` | ${cell(descriptionOf(option))} |`,
  );
  return [INTRODUCTION, '| key | target |', '| --- | --- |', ...rows, ''].join('\n');
}
