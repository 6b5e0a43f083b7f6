import type { GuestConfig, Manifest } from './model';

/** Changes that a build makes to the manifest. The first two are flags of igvmfilegen, too. */
export interface ManifestOverrides {
  /** Secure AVIC off in every SNP guest. */
  disableSecureAvic?: boolean;
  /** `OPENHCL_CONFIDENTIAL_DEBUG=1` at the end of every OpenHCL command line. */
  confidentialDebug?: boolean;
  /** In the place of the manifest's `embed_corim`. */
  embedCorim?: boolean;
}

const CONFIDENTIAL_DEBUG = 'OPENHCL_CONFIDENTIAL_DEBUG=1';

function overrideGuest(guest: GuestConfig, overrides: ManifestOverrides): GuestConfig {
  const changed = { ...guest };
  if (
    overrides.disableSecureAvic === true &&
    typeof guest.isolation_type !== 'string' &&
    'snp' in guest.isolation_type
  ) {
    changed.isolation_type = { snp: { ...guest.isolation_type.snp, secure_avic: 'disabled' } };
  }
  if (overrides.confidentialDebug === true && typeof guest.image !== 'string' && 'openhcl' in guest.image) {
    const { command_line: commandLine } = guest.image.openhcl;
    const words = commandLine === '' ? [CONFIDENTIAL_DEBUG] : [commandLine, CONFIDENTIAL_DEBUG];
    changed.image = { openhcl: { ...guest.image.openhcl, command_line: words.join(' ') } };
  }
  return changed;
}

/** The manifest with a build's overrides applied. Source: openvmm igvmfilegen main.rs, command `manifest`. */
export function applyOverrides(manifest: Manifest, overrides: ManifestOverrides): Manifest {
  return {
    ...manifest,
    embed_corim: overrides.embedCorim ?? manifest.embed_corim,
    guest_configs: manifest.guest_configs.map((guest) => overrideGuest(guest, overrides)),
  };
}
