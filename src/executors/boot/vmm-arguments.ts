import { IgvmError } from '../../errors/igvm-error';
import { nearest } from '../../manifest/nearest';

/** Options of Nx that it leaves among a target's arguments. */
const NX_OPTIONS: ReadonlySet<string> = new Set(['verbose']);

/**
 * The arguments of `nx boot PROJECT …` that are for the VMM: all but options of the executor with their values. Nx hands
 * over the command line without its `--`, so they can't be told apart by their place.
 * @param options names of the executor's options, each of which takes a value
 * @param takesLongOptions whether the VMM's own options begin with two dashes, as Cloud Hypervisor's do
 * @throws IgvmError BOOT_OPTION for what can only be a misspelt option: the VMM would boot something else than was asked for
 */
export function vmmArguments(
  args: readonly string[],
  options: readonly string[],
  { takesLongOptions = false } = {},
): string[] {
  const rest: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    const [, name, value] = /^--([A-Za-z][\w-]*)(=.*)?$/s.exec(arg) ?? [];
    if (name === undefined) {
      rest.push(arg);
    } else if (options.includes(camelCase(name)) || NX_OPTIONS.has(name)) {
      const takesNext = value === undefined && !NX_OPTIONS.has(name);
      if (takesNext && args[index + 1]?.startsWith('-') === false) index++;
    } else {
      const guess = nearest(camelCase(name), options);
      if (guess !== undefined || !takesLongOptions) throw misspelt(name, guess);
      rest.push(arg);
    }
  }
  return rest;
}

function misspelt(name: string, guess: string | undefined): IgvmError {
  const cure =
    guess === undefined
      ? "; QEMU's own options are written with one dash, and those of Cloud Hypervisor are passed on with --vmm=cloud-hypervisor"
      : `; did you mean "--${kebabCase(guess)}"?`;
  return new IgvmError('BOOT_OPTION', `nx-igvm:boot has no option "--${name}"${cure}`);
}

const camelCase = (name: string): string => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
