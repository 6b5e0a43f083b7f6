import {
  BOOT_CODES,
  CLI_CODES,
  ENDORSEMENT_CODES,
  FILE_CODES,
  FORMAT_CODES,
  INITRD_CODES,
  LOADER_CODES,
  LOCK_CODES,
  MANIFEST_CODES,
  NX_CODES,
} from '../errors/codes';
import { cell } from './describe-schema';

/** All tables of error codes, in the order of the page. */
export const AREAS = [
  ['The manifest and its resources', MANIFEST_CODES],
  ['Files', FILE_CODES],
  ['Laying out the guest', LOADER_CODES],
  ['The IGVM format', FORMAT_CODES],
  ['Measurements, signatures and endorsements', ENDORSEMENT_CODES],
  ['The measurement lock', LOCK_CODES],
  ['Packing an initramfs', INITRD_CODES],
  ['Booting an image', BOOT_CODES],
  ['The command line', CLI_CODES],
  ['Nx', NX_CODES],
] as const;

const INTRODUCTION = `# Errors

Every failure that a user or an input file can cause has a code that stays the same from version to version. The message says what is wrong and
where: file, line, column and JSON path, byte offset or guest address. Anything else is a bug, and is worth a report.
`;

/** docs/errors.md. */
export function errorsReference(): string {
  const parts = AREAS.filter(([, codes]) => Object.keys(codes).length > 0).map(([title, codes]) => {
    const rows = Object.entries(codes).map(
      ([name, { cause, cure }]) => `| \`${name}\` | ${cell(cause)} | ${cell(cure)} |`,
    );
    return `## ${title}\n\n${['| code | cause | what to do |', '| --- | --- | --- |', ...rows].join('\n')}\n`;
  });
  return [INTRODUCTION, ...parts].join('\n');
}
