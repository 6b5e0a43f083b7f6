/** The image `ovmf` of the manifest, which igvmfilegen doesn't know. */
import type { SecureBootProfile } from './model';
import { flag, nullish, struct, withDefault, word } from './schema-parts';

const PROFILE_MEANINGS: Record<SecureBootProfile, string> = {
  none: 'None: `hashes` or the resource `secure_boot_db` say what may start.',
  win11: 'Windows, as signed since 2011 and since 2023.',
  win23: 'Windows, as signed since 2023.',
  'win+rom23': 'Windows and option ROMs, as signed since 2023.',
  uefi11:
    "Other programs that Microsoft signed, since 2011 and since 2023: most distributions' shim. igvm-update's default.",
  uefi23: 'Other programs that Microsoft signed since 2023.',
  'uefi+rom23': 'Other programs and option ROMs that Microsoft signed since 2023.',
  redhat: 'What Red Hat signed with its CA of 2024.',
  'redhat+rom': 'What Red Hat signed with its CA of 2024, and option ROMs that Microsoft signed since 2023.',
  all: 'All of Microsoft: Windows, other programs and option ROMs.',
};

export const ovmfImage = struct(
  {
    boot_mode: withDefault(
      word(
        {
          real16: 'At the reset vector, as on real hardware.',
          flat32: "In protected mode, from registers in the image: the firmware's 16-bit code is left out.",
        },
        'Where the firmware starts.',
      ),
      'real16',
    ),
    parameters: withDefault(
      flag('Whether the VMM fills in the memory map and the number of processors, where the firmware asks for them.'),
      true,
    ),
    secure_boot: nullish(
      struct(
        {
          profile: withDefault(
            word(
              PROFILE_MEANINGS,
              "Public certificates in db, by the name of virtfw's profile. They are part of this package.",
            ),
            'none',
          ),
          hashes: withDefault(
            flag(
              'Whether db has the Authenticode hashes of `shim` and of `uki` or `linux_kernel`, so that these very programs may start.',
            ),
            false,
          ),
        },
        'Secure Boot: the image has PK, KEK, db and dbx, which are measured, and the firmware checks `shim`, `uki` and `linux_kernel`, which then ' +
          'are not measured. The resources `secure_boot_pk`, `secure_boot_kek` and `secure_boot_dbx` take the place of the built-in keys of Red ' +
          'Hat and Microsoft and of the built-in revocations, `secure_boot_db` is added to the profile. Something has to be in db.',
      ),
    ),
  },
  'OVMF, the UEFI firmware for QEMU: `ovmf_code`; and when they are given `ovmf_vars`, and the programs that it starts: `shim`, and `uki` or ' +
    '`linux_kernel`. A guest without isolation and one under SEV-SNP share a file and most of its pages. Not known to igvmfilegen.',
);
