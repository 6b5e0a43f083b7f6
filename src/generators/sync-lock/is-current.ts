import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { programPath } from '../../files/find-program';
import type { LockedImage } from './locked-images';

/**
 * Whether an image is what its manifest and resources give now. It is built again, elsewhere, and compared: nothing that a
 * build could have noted of its inputs says as much, and builds of the same files give the same bytes.
 * @throws IgvmError for what keeps the image from being built
 */
export async function isCurrent({ build, image }: LockedImage, root: string): Promise<boolean> {
  const { buildManifest, sha256OfFile } = require('../../api') as typeof import('../../api');
  const path = resolve(root, image);
  if (!existsSync(path)) return false;
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-sync-'));
  try {
    const output = join(folder, basename(image));
    const { manifest, resources, loader, outputPath: _, ...options } = build;
    const { files } = await buildManifest({
      ...options,
      manifest: resolve(root, manifest),
      resources: resources === undefined ? undefined : resolve(root, resources),
      loader: loader === undefined ? undefined : programPath(loader, root),
      output,
      workspaceRoot: root,
      display: (each) => (each === resolve(root, manifest) ? manifest : each),
    });
    const siblings = files.map(({ path: made }) => [made, join(path, '..', basename(made))] as const);
    return siblings.every(([made, present]) => existsSync(present) && sha256OfFile(made) === sha256OfFile(present));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
