import { appendFileSync } from 'node:fs';
import { buildManifest } from '../api';
import type { FILE_CODES, INITRD_CODES } from '../errors/codes';
import { KERNEL, linuxGuest, type Provocation, shownBy } from './scene.fixture';

export const FILE_ERRORS: Record<keyof typeof FILE_CODES | keyof typeof INITRD_CODES, Provocation> = {
  FILE_UNREADABLE: ['looks at a file that is not there', (scene) => scene.nxIgvm('dump', 'missing.igvm')],
  FILE_UNWRITABLE: [
    'names a folder as output',
    (scene) => {
      scene.manifest(linuxGuest(), KERNEL);
      return scene.nxIgvm('build', 'igvm.json', '-o', '.');
    },
  ],
  FILE_CHANGED: [
    'writes to an initrd while it is read',
    (scene) => {
      scene.manifest(linuxGuest({ use_initrd: true }), { ...KERNEL, linux_initrd: 'initrd-small.bin' });
      return shownBy(() =>
        buildManifest({
          manifest: scene.path('igvm.json'),
          output: scene.path('image.igvm'),
          progress: () => appendFileSync(scene.path('initrd-small.bin'), 'more'),
        }),
      );
    },
  ],
  INITRD_ENTRY: [
    'lists a device that has the path of a file',
    (scene) => {
      scene.write('rootfs/dev/console', '');
      scene.write('initrd.json', {
        folder: 'rootfs',
        devices: [{ path: '/dev/console', type: 'char', major: 5, minor: 1 }],
      });
      return scene.nxIgvm('initrd', 'initrd.json');
    },
  ],
};
