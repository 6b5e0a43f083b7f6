import { lstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { readRegularFile } from '../files/regular-file';
import { SIBLINGS, siblingPath } from '../manifest/image-files';
import type { MeasuredPlatform } from '../igvm/isolation';
import type { OutputKind } from './build-report';

/** Larger than any sibling (bytes); something else then has its name. */
const SIBLING_LIMIT = 64 * 1024;

/**
 * Files about platforms that an image had in an earlier build and doesn't have any more: they would endorse an image that
 * no longer exists. A name alone proves nothing, so only files that are recognisably what we write are among them.
 * @param output path of the image
 * @param kept paths that stay in any case: what the build makes and what it reads
 */
export function formerSiblings(output: string, kept: readonly string[]): string[] {
  const others = new Set(kept.map((path) => resolve(path)));
  return SIBLINGS.flatMap(({ kind, extension, platforms }) =>
    platforms
      .map((platform) => ({ platform, path: siblingPath(output, platform, extension) }))
      .filter(({ platform, path }) => !others.has(resolve(path)) && isOwn(path, kind, platform))
      .map(({ path }) => path),
  );
}

function isOwn(path: string, kind: OutputKind, platform: MeasuredPlatform): boolean {
  let bytes: Uint8Array;
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isFile()) return false;
    bytes = readRegularFile(path, { limit: SIBLING_LIMIT });
  } catch {
    // What can't be read can't be told from someone else's file.
    return false;
  }
  return isOfKind(bytes, kind, platform);
}

function isOfKind(bytes: Uint8Array, kind: OutputKind, platform: MeasuredPlatform): boolean {
  switch (kind) {
    case 'identity': {
      const { isIdentityDocument } =
        require('../endorsement/identity-document') as typeof import('../endorsement/identity-document');
      return isIdentityDocument(bytes, platform);
    }
    case 'corim': {
      const { isCorimDocument } = require('../endorsement/corim') as typeof import('../endorsement/corim');
      return isCorimDocument(bytes, platform);
    }
    case 'idBlock': {
      const { isOwnIdBlock } = require('../endorsement/snp-id-block') as typeof import('../endorsement/snp-id-block');
      return isOwnIdBlock(bytes);
    }
    default:
      return false;
  }
}
