import { IgvmError } from '../errors/igvm-error';
import {
  appendToCommandLine,
  COMMAND_LINE_FILE_LIMIT,
  commandLineConflict,
  commandLinePlace,
  commandLineText,
} from '../manifest/command-line';
import type { GuestConfig, Manifest } from '../manifest/model';
import type { OpenResources } from './open-resources';

/**
 * The text of the resource `linux_command_line`, or undefined when there is none.
 * @throws IgvmError COMMAND_LINE_TEXT, and what opening and reading the file throws
 */
export function textForCommandLine(resources: OpenResources): string | undefined {
  if (!resources.has('linux_command_line')) return undefined;
  const source = resources.linuxPart('linux_command_line');
  const file = resources.displayOf('linux_command_line');
  if (source.size > COMMAND_LINE_FILE_LIMIT) {
    throw new IgvmError(
      'COMMAND_LINE_TEXT',
      `has ${source.size} bytes, and text for a command line has ${COMMAND_LINE_FILE_LIMIT} at most`,
      { file },
    );
  }
  const bytes = new Uint8Array(source.size);
  source.read(0, bytes);
  return commandLineText(bytes, file);
}

/**
 * A guest with the text appended to its command line; the same guest when it has none.
 * @throws IgvmError MANIFEST_CONFLICT for an image that has no place for it, COMMAND_LINE_TEXT
 */
export function withCommandLine(config: GuestConfig, arch: Manifest['guest_arch'], text: string): GuestConfig {
  const conflict = commandLineConflict({ guest_arch: arch, guest_configs: [config] }, config);
  if (conflict !== undefined) {
    throw new IgvmError('MANIFEST_CONFLICT', conflict[1], { jsonPath: conflict[0] });
  }
  const place = commandLinePlace(config.image);
  if (place === undefined) return config;
  return { ...config, image: changed(config.image, place, text) as GuestConfig['image'] };
}

/** The same object with text appended to the member that `path` leads to. */
function changed(value: unknown, [key, ...rest]: readonly string[], text: string): unknown {
  if (key === undefined) return appendToCommandLine(String(value), text);
  const members = value as Record<string, unknown>;
  return { ...members, [key]: changed(members[key], rest, text) };
}
