import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildManifest } from '../api';
import type { FILE_CODES, INITRD_CODES } from '../errors/codes';
import { APP, layoutOf, tarOf, writeParts } from '../initrd/container/image.fixture';
import { KERNEL, linuxGuest, type Provocation, shownBy } from './scene.fixture';

export const FILE_ERRORS: Record<keyof typeof FILE_CODES | keyof typeof INITRD_CODES, Provocation> = {
  FILE_UNREADABLE: ['dumps a file that does not exist', (scene) => scene.nxIgvm('dump', 'missing.igvm')],
  FILE_UNWRITABLE: [
    'names a folder as the output',
    (scene) => {
      scene.manifest(linuxGuest(), KERNEL);
      return scene.nxIgvm('build', 'igvm.json', '-o', '.');
    },
  ],
  FILE_CHANGED: [
    'writes to an initrd while a build reads it',
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
  CONTAINER_IMAGE: [
    'names a file that is not a container image',
    (scene) => {
      scene.write('app.tar', 'no archive');
      scene.write('initrd.json', { image: 'app.tar' });
      return scene.nxIgvm('initrd', 'initrd.json');
    },
  ],
  CONTAINER_DIGEST: [
    'changes a byte of a layer in a container image',
    async (scene) => {
      const parts = layoutOf({ layers: [await tarOf([APP])] });
      const [layer] = [...parts].find(([, bytes]) => bytes[0] === 0x1f)!;
      writeParts(scene.path('app'), parts);
      scene.change(join('app', layer), (bytes) => bytes.fill(0, 9, 10));
      scene.write('initrd.json', { image: 'app' });
      return scene.nxIgvm('initrd', 'initrd.json');
    },
  ],
  CONTAINER_LAYER: [
    'packs a container image with a path outside the image',
    async (scene) => {
      writeParts(scene.path('app'), layoutOf({ layers: [await tarOf([{ name: '../../etc/passwd', content: '' }])] }));
      scene.write('initrd.json', { image: 'app' });
      return scene.nxIgvm('initrd', 'initrd.json');
    },
  ],
  CONTAINER_PROCESS: [
    'packs a container image without the program that it should run',
    async (scene) => {
      writeParts(scene.path('app'), layoutOf({ layers: [await tarOf([APP])] }));
      scene.write('initrd.json', { image: 'app', command: ['/bin/other'] });
      return scene.nxIgvm('initrd', 'initrd.json');
    },
  ],
  INITRD_ENTRY: [
    'lists a device with the path of a file',
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
