import type { MeasuredPlatform } from '../../igvm/isolation';

/** Options of `nx-igvm:measure`; schema.json describes them. Paths are relative to the workspace. */
export interface MeasureExecutorSchema {
  image: string;
  lock?: string;
  platform?: MeasuredPlatform;
  vmm?: string;
  vcpus?: string | number | number[];
  cpu?: string | string[];
  kvmMode?: 'all-vcpus' | 'bsp-only';
  json?: boolean;
  updateLock?: boolean;
  allowDebug?: boolean;
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
