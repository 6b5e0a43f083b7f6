import { formatPlaced, IgvmError } from '../../src/errors/igvm-error';
import { parseManifest } from '../../src/manifest/load-manifest';
import { direct, directSnp, guest, linux, manifest, openhcl, policy, snp } from '../../src/manifest/manifest.fixture';
import { jsonTarget } from './json-target';
import { expectPlainText } from './plain-text';

const embedded = linux({ use_initrd: true, boot_data: 'embedded', memory_size: 2 ** 29, processor_count: 2 });

export const manifestTarget = jsonTarget({
  name: 'manifest',
  about: 'manifests (igvm.json), strict and lenient',
  values: [
    manifest([guest(linux())]),
    manifest([guest(embedded)], {
      resources: { linux_kernel: 'boot/vmlinuz', linux_initrd: { path: 'a', sha256: 'b' } },
    }),
    manifest([guest(openhcl({ product_policy: policy() }), snp(), { max_vtl: 2 })]),
    manifest([guest(openhcl({ linux: { use_initrd: false, command_line: '' } }), { vbs: { enable_debug: true } })]),
    manifest([guest(direct(), directSnp())], { $schema: 'x', unknown: 1 }),
    manifest([guest({ uefi: { config_type: 'igvm' } })], { guest_arch: 'aarch64' }),
  ],
  run({ bytes }) {
    const loaded = parseManifest(bytes, 'igvm.json');
    const { warnings } = loaded;
    loaded.positionOf(['guest_configs', 0, 'image']);
    for (const { message, where } of warnings) expectPlainText(formatPlaced(message, where));
    try {
      parseManifest(bytes, 'igvm.json', { strict: true });
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      if (warnings.length === 0) throw new Error('strict mode refuses something that has no warning', { cause: error });
    }
  },
});
