import { InvalidArgumentError } from 'commander';
import { MEASURED_PLATFORM_NAMES, type MeasuredPlatform } from '../../measurement/measured-platform';

/** Parses a `--platform` option. */
export function parsePlatform(text: string): MeasuredPlatform {
  const platform = MEASURED_PLATFORM_NAMES.find((name) => name === text);
  if (platform === undefined) throw new InvalidArgumentError(`It is one of ${MEASURED_PLATFORM_NAMES.join(', ')}.`);
  return platform;
}
