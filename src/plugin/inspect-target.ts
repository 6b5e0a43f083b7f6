import type { TargetConfiguration } from '@nx/devkit';
import { builtImage } from './build-target';
import { builtFiles, readsImage } from './built-image';
import type { InferredImage } from './inferred-image';
import { escapeGlob } from './resource-inputs';

/** The target that writes a page about an image. */
export function inspectTarget(image: InferredImage): TargetConfiguration {
  const path = builtImage(image);
  // The image and its map, which come first.
  const files = builtFiles(image).slice(0, 2);
  return {
    executor: 'nx-igvm:inspect',
    cache: true,
    options: { image: path, format: 'html' },
    ...readsImage(image, files),
    outputs: ['{options.outputPath}', `{workspaceRoot}/${escapeGlob(path.replace(/\.igvm$/, '.html'))}`],
    metadata: {
      technologies: ['igvm'],
      description: `Shows what is in the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm inspect --help', example: { options: { format: 'text' } } },
    },
  };
}
