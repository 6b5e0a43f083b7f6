/** The image `ovmf` of the manifest, which igvmfilegen doesn't know. */
import type { SecureBootProfile } from './model';
import { flag, nullish, struct, withDefault, word } from './schema-parts';

const PROFILE_MEANINGS: Record<SecureBootProfile, string> = {
  none: 'None. `hashes` or the resource `secure_boot_db` decide what may start.',
  win11: 'Windows, signed with the certificates of 2011 or 2023.',
  win23: 'Windows, signed with the certificate of 2023.',
  'win+rom23': 'Windows and option ROMs, signed with the certificates of 2023.',
  uefi11:
    "Third-party programs that Microsoft signed with the certificates of 2011 or 2023: the shim of most distributions. igvm-update's default.",
  uefi23: 'Third-party programs that Microsoft signed with the certificate of 2023.',
  'uefi+rom23': 'Third-party programs and option ROMs that Microsoft signed with the certificates of 2023.',
  redhat: 'Programs that Red Hat signed with its CA of 2024.',
  'redhat+rom':
    'Programs that Red Hat signed with its CA of 2024, and option ROMs that Microsoft signed with the certificate of 2023.',
  all: 'Everything that Microsoft signed: Windows, third-party programs and option ROMs.',
};

export const ovmfImage = struct(
  {
    boot_mode: withDefault(
      word(
        {
          real16: 'At the reset vector, as on real hardware.',
          flat32: "In protected mode, from registers in the image. The firmware's 16-bit code is skipped.",
        },
        'Where the firmware starts.',
      ),
      'real16',
    ),
    parameters: withDefault(
      flag('Whether the VMM fills in the memory map and the number of processors, if the firmware asks for them.'),
      true,
    ),
    secure_boot: nullish(
      struct(
        {
          profile: withDefault(
            word(
              PROFILE_MEANINGS,
              "The public certificates in db, by the name of virtfw's profile. They are part of this package.",
            ),
            'none',
          ),
          hashes: withDefault(
            flag(
              'Whether db contains the Authenticode hashes of `shim` and of `uki` or `linux_kernel`, so that exactly these programs may start.',
            ),
            false,
          ),
        },
        'Secure Boot: the image contains PK, KEK, db and dbx, which are measured. The firmware checks `shim`, `uki` and `linux_kernel`, which ' +
          'are then not measured. The resources `secure_boot_pk`, `secure_boot_kek` and `secure_boot_dbx` replace the built-in keys of Red ' +
          'Hat and Microsoft and the built-in revocations. `secure_boot_db` is added to the profile. db must not be empty.',
      ),
    ),
  },
  'OVMF, the UEFI firmware for QEMU: `ovmf_code` and, if they are given, `ovmf_vars` and the programs that it starts: `shim`, and `uki` or ' +
    '`linux_kernel`. A guest without isolation and one under SEV-SNP can share a file and most of its pages. Not known to igvmfilegen.',
);
