/** docs/cli.md, from the definitions that the commands themselves print as help. */
import { type Argument, Command, type Option } from 'commander';
import type { CliEnvironment } from '../cli/cli';
import { IGVMFILEGEN, IGVMINSPECT, NX_IGVM, type ProgramDescription } from '../cli/programs';
import { cell } from './describe-schema';

const INTRODUCTION = `# Commands

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

/** Reference pages only describe commands; nothing is run. */
const NOWHERE: CliEnvironment = { cwd: '.', stdout: () => {}, stderr: () => {}, isInteractive: false };

/** The commands of a program, as commander knows them. */
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
  // A list that begins empty, for options that may be repeated, is no default.
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
    INTRODUCTION,
    ...commandsOf(NX_IGVM).map((command) => section(NX_IGVM.name, '##', command)),
    IGVMFILEGEN_INTRODUCTION,
    ...commandsOf(IGVMFILEGEN).map((command) => section(IGVMFILEGEN.name, '###', command)),
    IGVMINSPECT_INTRODUCTION,
    ...commandsOf(IGVMINSPECT).map((command) => section(IGVMINSPECT.name, '###', command)),
  ].join('\n');
}
