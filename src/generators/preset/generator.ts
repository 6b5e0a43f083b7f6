import { type GeneratorCallback, type Tree } from 'nx/src/devkit-exports';
import { formatFiles } from '../workspace/generate';
import { runTasksInSerial } from '../workspace/install-packages';
import { guestImageGenerator } from '../guest-image/generator';
import { initrdGenerator } from '../initrd/generator';
import type { PresetGeneratorSchema } from './schema';

/** An initramfs and an image that uses it. */
export async function presetGenerator(tree: Tree, options: PresetGeneratorSchema): Promise<GeneratorCallback> {
  const { kernel, busybox } = options;
  const initrd = await initrdGenerator(tree, { name: 'initrd', busybox, skipFormat: true });
  const image = await guestImageGenerator(tree, {
    name: 'guest-image',
    kernel,
    initrd: 'initrd',
    skipFormat: true,
  });
  if (!options.skipFormat) {
    await formatFiles(tree);
  }
  return runTasksInSerial(initrd, image);
}

export default presetGenerator;
