import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { lockPath } from '../manifest/image-files';
import { builtImage } from './build-target';
import { builtFiles, namedImages, readsImage } from './built-image';
import type { InferredImage } from './inferred-image';
import { optionFile, ownTarget } from './own-target';

const VERIFY = 'nx-igvm:verify';

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

/**
 * The target that checks an image against its lock. Not cached: its success would be worth no more than the cache, which may be
 * writable for those whom the lock protects from.
 * @param name of the target
 */
export function verifyTarget(image: InferredImage, name: string): TargetConfiguration {
  const { project } = image;
  const lock = lockPath(image.path);
  const own = ownTarget('verify', VERIFY, name, project);
  const locks = own.values('lock', lock).map((value) => optionFile(value, project));
  return {
    executor: VERIFY,
    cache: false,
    options: { image: builtImage(image), lock },
    ...readsImage(image, builtFiles(image), [...locks, ...namedImages(image, own)]),
    outputs: [],
    metadata: {
      technologies: ['igvm'],
      description: `Checks the IGVM image ${image.name} against its measurement lock`,
      help: { command: 'npx nx-igvm verify --help', example: {} },
    },
  };
}
