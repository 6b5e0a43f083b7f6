/** Small valid parts of manifests, for tests to change. */
import { IgvmError } from '../errors/igvm-error';
import { type LoadOptions, parseManifest } from './load-manifest';

export type Json = Record<string, unknown>;
export const guest = (image: unknown, isolation: unknown = 'none', more: Json = {}): Json => ({
  guest_svn: 1,
  max_vtl: 0,
  isolation_type: isolation,
  image,
  ...more,
});
export const manifest = (guests: Json[], more: Json = {}): Json => ({
  guest_arch: 'x64',
  guest_configs: guests,
  ...more,
});
export const linux = (more: Json = {}): Json => ({ linux: { use_initrd: false, command_line: 'quiet', ...more } });
export const openhcl = (more: Json = {}): Json => ({ openhcl: { memory_page_count: 16384, ...more } });
export const snp = (more: Json = {}): Json => ({
  snp: { shared_gpa_boundary_bits: 46, policy: 196608, enable_debug: false, injection_type: 'restricted', ...more },
});
export const direct = (more: Json = {}): Json => ({
  snp_linux_direct: {
    linux: { use_initrd: false, command_line: '' },
    processor_count: 1,
    memory_page_count: 8192,
    c_bit_position: 51,
    ...more,
  },
});
export const directSnp = (more: Json = {}) =>
  snp({ shared_gpa_boundary_bits: null, injection_type: 'normal', ...more });
export const ovmf = (more: Json = {}): Json => ({ ovmf: more });
export const policy = (more: Json = {}): Json => ({
  sivm: {
    require_ephemeral_vmgs: false,
    require_secure_boot: true,
    require_secure_boot_vars: true,
    require_bcd_integrity: false,
    custom_uefi_json: 'e30=',
    ...more,
  },
});

export const parse = (document: Json | string, options?: LoadOptions) =>
  parseManifest(typeof document === 'string' ? document : JSON.stringify(document), 'igvm.json', options);

/** The error that a manifest is refused with. */
export const failure = (document: Json | string, options?: LoadOptions): IgvmError => {
  try {
    parse(document, options);
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('expected a failure');
};
