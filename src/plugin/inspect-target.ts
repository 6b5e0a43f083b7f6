import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { builtImage } from './build-target';
import { builtFiles, namedImages, readsImage } from './built-image';
import type { InferredImage } from './inferred-image';
import { ownTarget } from './own-target';
import { escapeGlob } from './resource-inputs';

const EXECUTOR = 'nx-igvm:inspect';

/** The image and its map, which come first. */
const READ = 2;

/** The target that writes a page about an image. @param name of the target */
export function inspectTarget(image: InferredImage, name: string): TargetConfiguration {
  const path = builtImage(image);
  const own = ownTarget('inspect', EXECUTOR, name, image.project);
  return {
    executor: EXECUTOR,
    cache: true,
    options: { image: path, format: 'html' },
    ...readsImage(image, builtFiles(image).slice(0, READ), namedImages(image, own, READ)),
    outputs: ['{options.outputPath}', `{workspaceRoot}/${escapeGlob(path.replace(/\.igvm$/, '.html'))}`],
    metadata: {
      technologies: ['igvm'],
      description: `Shows what is in the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm inspect --help', example: { options: { format: 'text' } } },
    },
  };
}
