import { InvalidArgumentError } from 'commander';
import { MEASURED_PLATFORM_NAMES, type MeasuredPlatform } from '../../measurement/measured-platform';

/** The platforms that the option takes, for its help. */
export const PLATFORM_CHOICES = MEASURED_PLATFORM_NAMES.join(', ');

/** Parses a `--platform` option. */
export function parsePlatform(text: string): MeasuredPlatform {
  const platform = MEASURED_PLATFORM_NAMES.find((name) => name === text);
  if (platform === undefined) throw new InvalidArgumentError(`It is one of ${PLATFORM_CHOICES}.`);
  return platform;
}
