import { parseMap, TagIndex } from '../../src/regions/image-map';
import { fileOf, patternPage, runOf } from '../../src/igvm/igvm-file.fixture';
import { guestRegions } from '../../src/regions/guest-regions';
import { TDX_MAP } from '../../src/lock/lock.fixture';
import type { Target } from '../engine/target';

const FILE = fileOf([runOf(0, patternPage(1)), runOf(0x1000, patternPage(2))]);

export const mapFile: Target = {
  name: 'map-file',
  about: 'map files beside images, which name the regions of guests',
  format: 'binary',
  dictionary: [
    'IGVM file isolation: ',
    'IGVM file layout:\n',
    '\n  0000000000001000 - 0000000000002000 (0x1000 bytes) x\n',
  ],
  seeds: () => [new TextEncoder().encode(TDX_MAP)],
  run({ bytes }) {
    for (const ranges of parseMap(new TextDecoder().decode(bytes))) {
      new TagIndex(ranges).within(0, 0x1000);
      guestRegions(FILE, 1, ranges);
    }
  },
};
