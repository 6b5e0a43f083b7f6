/**
 * The arguments of `nx boot PROJECT …` that are for the VMM: all but options of the executor with their values. Nx hands
 * over the command line without its `--`, so they can't be told apart by their place.
 * @param options names of the executor's options, each of which takes a value
 */
export function vmmArguments(args: readonly string[], options: ReadonlySet<string>): string[] {
  const rest: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    const [, name, value] = /^--([A-Za-z][\w-]*)(=.*)?$/s.exec(arg) ?? [];
    if (name === undefined || !options.has(camelCase(name))) {
      rest.push(arg);
    } else if (value === undefined && args[index + 1]?.startsWith('-') === false) {
      index++;
    }
  }
  return rest;
}

const camelCase = (name: string): string => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
