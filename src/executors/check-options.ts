import { IgvmError } from '../errors/igvm-error';
import { nearest } from '../manifest/nearest';

/** A schema.json, as far as options are checked against it. */
export interface OptionsSchema {
  properties: Readonly<Record<string, { type: string }>>;
}

/**
 * Checks a task's options as Nx would, but fails that task alone. (Nx checks the options of all tasks of a batch before it
 * begins, and gives up all of them for a mistake in one; so schemas of executors with a batch let everything through.)
 * @param required names of the options that must be there
 * @throws IgvmError NX_OPTION_INVALID
 */
export function checkOptions(
  executor: string,
  options: object,
  { properties }: OptionsSchema,
  required: readonly string[],
): void {
  const values = options as Readonly<Record<string, unknown>>;
  const missing = required.find((name) => values[name] === undefined);
  if (missing !== undefined) throw invalid(`${executor} needs the option "${missing}"`);
  for (const [name, value] of Object.entries(values)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known === undefined) {
      const guess = nearest(name, Object.keys(properties));
      throw invalid(`${executor} has no option "${name}"${guess === undefined ? '' : `; did you mean "${guess}"?`}`);
    }
    const type = Array.isArray(value) ? 'array' : typeof value;
    if (value !== undefined && type !== known.type) {
      throw invalid(
        `${executor} takes ${known.type === 'array' ? 'an' : 'a'} ${known.type} for the option "${name}", not ${JSON.stringify(value)}`,
      );
    }
  }
}

const invalid = (message: string): IgvmError => new IgvmError('NX_OPTION_INVALID', message);
