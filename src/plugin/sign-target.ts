import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { isolationTypes } from '../manifest/image-files';
import { builtImage } from './build-target';
import { builtFiles, readsImage, sourceFile } from './built-image';
import type { InferredImage } from './inferred-image';
import { escapeGlob } from './resource-inputs';

/**
 * The target that signs an image; none for an image that proves nothing to anybody. Not cached, as a temporary key gives another
 * image each time.
 */
export function signTarget(image: InferredImage): TargetConfiguration | undefined {
  const isolations = isolationTypes(image.manifest).filter((type) => type !== 'none');
  if (isolations.length === 0) return undefined;
  const path = builtImage(image);
  return {
    executor: 'nx-igvm:sign',
    cache: false,
    options: { image: path, manifest: image.path },
    ...(isolations.includes('snp') ? { configurations: { development: { temporaryKey: true } } } : {}),
    ...readsImage(image, builtFiles(image), [sourceFile(image, image.path)]),
    outputs: ['{options.outputPath}', `{workspaceRoot}/${escapeGlob(path.replace(/\.igvm$/, '-signed.igvm'))}`],
    metadata: {
      technologies: ['igvm'],
      description: `Signs the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm add-snp-id-block --help', example: { options: { temporaryKey: true } } },
    },
  };
}
