import type { Command } from 'commander';

/**
 * Makes a command as strict as clap, for commands with the options of a program in Rust: each option may be given once, `--name`
 * not together with `--no-name`, and an option's value isn't another option. Call it when all options are there.
 */
export function strictOptions(command: Command): Command {
  const given = new Set<string>();
  for (const option of command.options) {
    const name = option.name();
    const opposite = name.startsWith('no-') ? name.slice('no-'.length) : `no-${name}`;
    command.on(`option:${name}`, (value: string | null | undefined) => {
      if (given.has(name)) command.error(`error: option '--${name}' cannot be used multiple times`);
      if (given.has(opposite)) command.error(`error: option '--${opposite}' cannot be used with option '--${name}'`);
      if (typeof value === 'string' && value.length > 1 && value.startsWith('-')) {
        command.error(`error: option '--${name}' needs a value, and '${value}' looks like an option`);
      }
      given.add(name);
    });
  }
  return command;
}
