/**
 * The reference pages of everything with options: commands, executors, generators and the plugin. They are generated from the definitions
 * that commander and Nx themselves print as help.
 */
import { type Argument, Command, type Option } from 'commander';
import type { CliEnvironment } from '../cli/cli';
import { IGVMFILEGEN, IGVMINSPECT, NX_IGVM, type ProgramDescription } from '../cli/programs';
import { cell, describeType, descriptionOf, type JsonSchema } from './describe-schema';

const CLI_INTRODUCTION = `# Commands

\`nx-igvm\` works on files, with or without a workspace. If the package is installed in the current project, run it with \`npx nx-igvm\` (or
\`pnpm exec\`, \`yarn\`, \`bunx\`). \`npm install --global nx-igvm\` puts it into PATH. \`nx-igvm COMMAND --help\` prints the options below.

Paths are relative to the current folder. The exit code is 0 for success, 1 for a failure and 2 for an invalid command line. Results go to
stdout, messages to stderr. \`--verbose\` before the command shows details of builds, and stack traces of internal errors.
`;

const IGVMFILEGEN_INTRODUCTION = `## igvmfilegen

The package also has a command \`igvmfilegen\` with the command line of Microsoft's tool of that name.
[migration-from-igvmfilegen.md](migration-from-igvmfilegen.md) lists the differences.
`;

const IGVMINSPECT_INTRODUCTION = `## igvminspect

\`igvminspect\` has the command line of OpenVMM's tool of that name.
`;

/** For describing commands without running them. */
const NOWHERE: CliEnvironment = { cwd: '.', stdout: () => {}, stderr: () => {}, isInteractive: false };

/** The definitions of a program's commands. */
export function commandsOf({ name, commands }: ProgramDescription): readonly Command[] {
  const program = new Command(name);
  for (const load of Object.values(commands)) load()(program, NOWHERE);
  return program.commands;
}

const argumentName = (argument: Argument): string => {
  const name = argument.name();
  if (argument.variadic) return `[-- ${name}]`;
  return argument.required ? `<${name}>` : `[${name}]`;
};

function optionRow(option: Option): string {
  const { flags, description, argChoices, defaultValue, mandatory } = option;
  const value = argChoices?.map((choice) => `\`${choice}\``).join(', ') ?? '';
  // The empty list at the start of a repeatable option is not a default.
  const hasDefault = defaultValue !== undefined && !Array.isArray(defaultValue);
  const fallback = hasDefault ? `\`${String(defaultValue)}\`` : '';
  return `| \`${cell(flags)}\` | ${value} | ${mandatory ? 'required' : fallback} | ${cell(description)} |`;
}

function section(program: string, level: string, command: Command): string {
  const { registeredArguments: args, options } = command;
  const shown = options.filter(({ hidden }) => !hidden);
  const [first, last] = [args.filter(({ variadic }) => !variadic), args.filter(({ variadic }) => variadic)];
  const usage = [
    program,
    command.name(),
    ...first.map(argumentName),
    ...(shown.length === 0 ? [] : ['[options]']),
    ...last.map(argumentName),
  ];
  const description = command.description();
  const described = args.filter((argument) => argument.description !== '');
  return [
    `${level} ${program} ${command.name()}\n`,
    ...(description === '' ? [] : [`${description[0]!.toUpperCase()}${description.slice(1)}.\n`]),
    `\`\`\`text\n${usage.join(' ')}\n\`\`\`\n`,
    ...described.map((argument) => `- \`${argument.name()}\`: ${argument.description}`),
    ...(described.length === 0 ? [] : ['']),
    ...(shown.length === 0
      ? []
      : ['| option | values | default | meaning |', '| --- | --- | --- | --- |', ...shown.map(optionRow), '']),
  ].join('\n');
}

/** docs/cli.md */
export function cliReference(): string {
  return [
    CLI_INTRODUCTION,
    ...commandsOf(NX_IGVM).map((command) => section(NX_IGVM.name, '##', command)),
    IGVMFILEGEN_INTRODUCTION,
    ...commandsOf(IGVMFILEGEN).map((command) => section(IGVMFILEGEN.name, '###', command)),
    IGVMINSPECT_INTRODUCTION,
    ...commandsOf(IGVMINSPECT).map((command) => section(IGVMINSPECT.name, '###', command)),
  ].join('\n');
}

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
      // A default makes an option optional, even if Nx lists it as required.
      const need = fallback === '' && schema.required?.includes(name) ? 'required' : fallback;
      return `| \`${flag(name)}\` | ${cell(describeType(option))} | ${need} | ${cell(option.description ?? '')} |`;
    });
  return ['| option | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** An example in the form that Nx prints in `--help`. It prints `undefined` for other forms. */
export interface SchemaExample {
  command: string;
  description: string;
}

export const examplesOf = (schema: JsonSchema): SchemaExample[] => (schema['examples'] ?? []) as SchemaExample[];

/** Examples that e2e/pages.e2e.ts can't run, and the reasons. */
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

/** The examples as commands, each with a comment that explains it. */
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

const PLUGIN_INTRODUCTION = `# Plugin options

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
  return [PLUGIN_INTRODUCTION, '| key | target |', '| --- | --- |', ...rows, ''].join('\n');
}
