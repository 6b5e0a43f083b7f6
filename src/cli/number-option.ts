import { IgvmError } from '../errors/igvm-error';

/**
 * The number that an option's text is. What it may be is for those to say who take it.
 * @throws IgvmError BOOT_OPTION when it is none
 */
export function numberOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new IgvmError('BOOT_OPTION', `${name} is "${text}", which is no number`);
  return Number(text);
}
