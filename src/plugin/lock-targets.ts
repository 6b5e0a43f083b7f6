import type { TargetConfiguration } from '@nx/devkit';
import { lockPath } from '../manifest/image-files';
import { builtImage } from './build-target';
import { builtFiles, readsImage, sourceFile } from './built-image';
import type { InferredImage } from './inferred-image';

/** The target that prints launch digests and writes the lock. Not cached: a hit would not write the lock. */
export function measureTarget(image: InferredImage): TargetConfiguration {
  return {
    executor: 'nx-igvm:measure',
    cache: false,
    options: { image: builtImage(image), lock: lockPath(image.path) },
    ...readsImage(image, builtFiles(image)),
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Computes the launch digests of the IGVM image ${image.name}`,
      help: { command: 'npx nx-igvm measure --help', example: { options: { updateLock: true } } },
    },
  };
}

/** The target that checks an image against its lock. */
export function verifyTarget(image: InferredImage): TargetConfiguration {
  const lock = lockPath(image.path);
  return {
    executor: 'nx-igvm:verify',
    cache: true,
    options: { image: builtImage(image), lock },
    ...readsImage(image, builtFiles(image), [sourceFile(image, lock)]),
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Checks the IGVM image ${image.name} against its measurement lock`,
      help: { command: 'npx nx-igvm verify --help', example: {} },
    },
  };
}
