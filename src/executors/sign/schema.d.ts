import type { MeasuredPlatform } from '../../igvm/isolation';

/** Options of `nx-igvm:sign`; schema.json describes them. Paths are relative to the workspace. */
export interface SignExecutorSchema {
  image: string;
  outputPath?: string;
  idBlock?: string;
  idSignature?: string;
  idPublicKey?: string;
  temporaryKey?: boolean;
  manifest?: string;
  guestSvn?: number;
  corimBundle?: string;
  corimSignature?: string;
  platform?: MeasuredPlatform;
  allowRsa2048?: boolean;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
