import { type GeneratorCallback, type Tree } from 'nx/src/devkit-exports';
import { formatFiles } from '../workspace/generate';
import { runTasksInSerial } from '../workspace/install-packages';
import { guestImageGenerator } from '../guest-image/generator';
import { initrdGenerator } from '../initrd/generator';

/** Options of `nx g nx-igvm:preset`, described in schema.json. */
interface PresetGeneratorSchema {
  name: string;
  kernel?: string;
  busybox?: string;
  skipFormat?: boolean;
}

/** Folders that create-nx-workspace creates for applications and libraries. The projects of this preset are beside them. */
const EMPTY_FOLDERS = ['apps', 'libs'];

/** An initramfs and an image that uses it. */
export async function presetGenerator(tree: Tree, options: PresetGeneratorSchema): Promise<GeneratorCallback> {
  const { kernel, busybox } = options;
  const initrd = await initrdGenerator(tree, { name: 'initrd', busybox, skipFormat: true }, { hint: false });
  const image = await guestImageGenerator(tree, {
    name: 'guest-image',
    kernel,
    initrd: 'initrd',
    skipFormat: true,
  });
  for (const folder of EMPTY_FOLDERS) {
    if (tree.children(folder).join() === '.gitkeep') tree.delete(folder);
  }
  if (!options.skipFormat) {
    await formatFiles(tree);
  }
  return runTasksInSerial(initrd, image);
}

export default presetGenerator;
