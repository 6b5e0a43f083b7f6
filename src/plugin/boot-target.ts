import type { TargetConfiguration } from '@nx/devkit';
import { isolationTypes } from '../manifest/image-files';
import { buildName, builtImage } from './build-target';
import type { ImageManifest } from './image-manifest';
import type { InferredImage } from './inferred-image';
import { asRecord } from './read-json';

/** Whether a VMM at hand can boot the image: one Linux kernel for x64 that starts itself, without isolation. */
function isBootable(manifest: ImageManifest): boolean {
  const guests: unknown[] = Array.isArray(manifest.guest_configs) ? manifest.guest_configs : [];
  const [guest] = guests;
  const image = asRecord(asRecord(guest)['image']);
  return (
    manifest.guest_arch === 'x64' &&
    guests.length === 1 &&
    Object.hasOwn(image, 'linux') &&
    isolationTypes(manifest).join() === 'none'
  );
}

/** The target that boots an image; none for an image that needs hardware which few machines have. */
export function bootTarget(image: InferredImage): TargetConfiguration | undefined {
  if (!isBootable(image.manifest)) return undefined;
  const build = buildName(image);
  return {
    executor: 'nx-igvm:boot',
    continuous: true,
    options: { image: builtImage(image) },
    ...(build === undefined ? {} : { dependsOn: [build] }),
    metadata: {
      technologies: ['igvm'],
      description: `Boots the IGVM image ${image.name} on this machine`,
      help: { command: 'npx nx-igvm boot --help', example: { options: { cpus: 2 } } },
    },
  };
}
