import { SEC_VOLUME_OFFSET, secEntryPointOffset } from '../../src/loader/formats/firmware-volume';
import {
  FILE_TYPE,
  firmwareFile,
  firmwareVolume,
  peImage,
  SECTION_TYPE,
  section,
  teImage,
} from '../../src/loader/formats/firmware.fixture';
import { leadingZerosSource } from '../../src/memory/byte-source';
import type { Target } from '../engine/target';

/** The volumes of the fixture are padded like real ones. */
const unpadded = (volume: Uint8Array): Uint8Array => volume.slice(0, 0x800);

export const firmwareVolumeTarget: Target = {
  name: 'firmware-volume',
  about: 'the UEFI firmware volume, to find its entry point',
  format: 'binary',
  dictionary: ['_FVH', 'MZ', 'VZ', 'PE\0\0', Uint8Array.of(3), Uint8Array.of(0x10)],
  seeds: () => [
    unpadded(firmwareVolume(firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.PE32, peImage(0x1234))))),
    unpadded(
      firmwareVolume(
        firmwareFile(FILE_TYPE.RAW, new Uint8Array(13)),
        firmwareFile(
          FILE_TYPE.SECURITY_CORE,
          section(SECTION_TYPE.RAW, new Uint8Array(5)),
          section(SECTION_TYPE.PE32, teImage(0x1234, 0x100)),
        ),
      ),
    ),
    unpadded(firmwareVolume(firmwareFile(FILE_TYPE.PAD, new Uint8Array(8)), firmwareFile(FILE_TYPE.SECURITY_CORE))),
  ],
  run(input) {
    const entry = secEntryPointOffset(leadingZerosSource(SEC_VOLUME_OFFSET, input.source()));
    if (!Number.isSafeInteger(entry)) throw new Error(`the entry point is ${entry}`);
  },
};
