import { AggregateCreateNodesError } from '@nx/devkit';
import { IgvmError } from '../../src/errors/igvm-error';
import { linuxManifest, Workspace } from '../../src/plugin/workspace.fixture';
import { jsonTarget } from './json-target';

const FILES = ['images/igvm.json', 'images/other.igvm.json', 'images/initrd.json'];

/** The error of inference, without Nx's wrapper. */
function causeOf(error: unknown): unknown {
  if (!(error instanceof AggregateCreateNodesError)) return error;
  const causes = error.errors.map(([, cause]) => cause as unknown);
  return causes.find((cause) => !(cause instanceof IgvmError)) ?? causes[0];
}

export const inference = jsonTarget({
  name: 'inference',
  about: 'manifests and initrd.json as the plugin reads them for every Nx command, without validation',
  values: [
    linuxManifest('boot/vmlinuz'),
    linuxManifest({ project: 'kernel', target: 'build', path: 'dist/vmlinuz' }, { name: 'named' }),
    linuxManifest({ path: '/boot/vmlinuz', sha256: 'ab'.repeat(32) }),
    linuxManifest({ glob: 'boot/vmlinuz-*' }),
    { name: 'initrd', folder: '../rootfs', compression: 'zstd' },
  ],
  async run({ bytes }) {
    const workspace = new Workspace();
    for (const file of FILES) workspace.write(file, new TextDecoder().decode(bytes));
    try {
      JSON.stringify(await workspace.infer([...FILES]));
    } catch (error) {
      throw causeOf(error);
    } finally {
      workspace.remove();
    }
  },
});
