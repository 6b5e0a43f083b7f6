import { cell, descriptionOf } from './describe-schema';
import type { JsonSchema } from './json-schema';

const INTRODUCTION = `# Options of the plugin

nx.json names the plugin, and may change what it infers:

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

Each kind of inferred target has a key, and its value is

- another name for the target,
- \`false\`, for no such target, or
- an object that extends the target with any key that a target has in project.json, and \`name\`. \`options\`, \`configurations\` and \`metadata\` are
  merged key by key; a list replaces the inferred one, and \`"..."\` in it stands for the inferred entries.

\`{imageName}\` in such an object stands for the image's name, as Nx's own \`{projectName}\` and \`{projectRoot}\` do for theirs:
\`"options": { "outputPath": "images/{imageName}" }\`. What reads an image looks where its build puts it by default: with the target's
\`defaultConfiguration\`, if it has one. Another configuration should leave \`outputPath\` alone.

A project with several images has a target \`KIND-NAME\` for each. \`build\`, \`inspect\`, \`measure\`, \`verify\` and \`boot-test\` also have one \`KIND\` that runs
them all; \`boot\` and \`sign\` don't: \`nx boot-NAME PROJECT\`.

Nx's own schema of nx.json says nothing of a plugin's options. To have an editor check and complete them, put both schemas into a file, here \`nx.schema.json\` in the
workspace's root, and name it in nx.json as \`"$schema": "./nx.schema.json"\`:

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

## Kinds
`;

/** docs/plugin-options.md. @param schema the JSON Schema of the options */
export function pluginReference(schema: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(
    ([kind, option]) => `| \`${kind}\` | ${cell(descriptionOf(option))} |`,
  );
  return [INTRODUCTION, '| key | target |', '| --- | --- |', ...rows, ''].join('\n');
}
