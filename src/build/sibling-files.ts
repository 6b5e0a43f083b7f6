import type { MeasuredPlatform } from '../measurement/measured-platform';
import type { OutputKind } from './build-report';

/** Files about one platform, in the reference's order. */
export const SIBLINGS: readonly { kind: OutputKind; extension: string; platforms: readonly MeasuredPlatform[] }[] = [
  { kind: 'corim', extension: '.cbor', platforms: ['snp', 'tdx', 'vbs'] },
  { kind: 'identity', extension: '.json', platforms: ['snp', 'tdx', 'vbs'] },
  { kind: 'idBlock', extension: '.idblock', platforms: ['snp'] },
];
