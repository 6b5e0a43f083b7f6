import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { isolationTypes } from '../manifest/image-files';
import type { ImageManifest, InferredImage } from './inferred-image';
import { nxFeatures } from './nx-versions';
import type { TargetOption } from './plugin-options';
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

const runsAfterBuild = ({ build }: InferredImage): Pick<TargetConfiguration, 'dependsOn'> =>
  build === undefined ? {} : { dependsOn: [build] };

/** The target that boots an image; none for an image that needs hardware which few machines have. */
export function bootTarget(image: InferredImage): TargetConfiguration | undefined {
  if (!isBootable(image.manifest)) return undefined;
  return {
    executor: 'nx-igvm:boot',
    // Where Nx has another result than the guest, a boot is a task like any other: what depends on it waits for its end.
    continuous: nxFeatures(image.project.workspaceRoot).continuousResult,
    options: { image: image.file },
    ...runsAfterBuild(image),
    metadata: {
      technologies: ['igvm'],
      description: `Boots the IGVM image ${image.name} on this machine`,
      help: { command: 'npx nx-igvm boot --help', example: { options: { cpus: 2 } } },
    },
  };
}

/** Seconds that a boot test may take unless the manifest or the plugin's options say otherwise: TCG is slow. */
const TEST_TIMEOUT = 120;

/** Whether the manifest or the plugin's options ask for a boot test of an image that can be booted here. */
export function hasBootTest(manifest: ImageManifest, option: TargetOption | undefined): boolean {
  const isAskedFor = typeof manifest.boot_test === 'object' && manifest.boot_test !== null;
  return isBootable(manifest) && option !== false && (isAskedFor || option !== undefined);
}

/**
 * The target that boots an image and checks what it prints. Nx shares one run of a continuous task such as `boot` among all
 * commands that ask for it, whatever their arguments, and counts it as a success for each; a test must run by itself.
 */
export function bootTestTarget(image: InferredImage): TargetConfiguration | undefined {
  const { manifest, project } = image;
  if (!hasBootTest(manifest, project.options['boot-test'])) return undefined;
  const { until, timeout = TEST_TIMEOUT } = asRecord(manifest.boot_test);
  return {
    executor: 'nx-igvm:boot',
    continuous: false,
    cache: false,
    options: { image: image.file, ...(until === undefined ? {} : { until }), timeout },
    ...runsAfterBuild(image),
    metadata: {
      technologies: ['igvm'],
      description: `Boots the IGVM image ${image.name} and checks what it prints`,
      help: { command: 'npx nx-igvm boot --help', example: { options: { until: '^ready$', timeout: 60 } } },
    },
  };
}
