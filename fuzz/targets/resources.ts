import { formatPlaced } from '../../src/errors/igvm-error';
import { parseResourcesFile } from '../../src/manifest/load-manifest';
import { jsonTarget } from './json-target';
import { expectPlainText } from './plain-text';

export const resources = jsonTarget({
  name: 'resources',
  about: "igvmfilegen's resources files",
  values: [
    { resources: { linux_kernel: '/boot/vmlinuz', linux_initrd: '/boot/initrd' } },
    { resources: { uefi: '/MSVM.fd', underhill_kernel: '/a', openhcl_boot: '/b', underhill_initrd: '/c' }, more: 1 },
  ],
  run({ bytes }) {
    const file = parseResourcesFile(bytes, 'resources.json');
    file.whereOf('linux_kernel');
    file.whereAll();
    for (const { message, where } of file.warnings) expectPlainText(formatPlaced(message, where));
    parseResourcesFile(bytes, 'resources.json', true);
  },
});
