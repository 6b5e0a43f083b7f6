import { parseInitrd } from '../../src/initrd/load-initrd';
import { jsonTarget } from './json-target';

export const initrd = jsonTarget({
  name: 'initrd',
  about: 'descriptions of an initramfs (initrd.json)',
  values: [
    { folder: 'rootfs' },
    {
      folder: 'rootfs',
      compression: 'zstd',
      devices: [{ path: '/dev/console', type: 'char', major: 5, minor: 1, mode: '600' }],
      directories: ['/proc', '/sys'],
      symlinks: { '/bin/sh': 'busybox' },
      modes: { '/init': '755' },
    },
  ],
  run({ bytes }) {
    parseInitrd(bytes, '/workspace/initrd.json', 'initrd.json');
  },
});
