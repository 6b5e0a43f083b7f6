import type { MeasuredPlatform } from '../../measurement/measured-platform';

/** Options of `nx-igvm:measure`; schema.json describes them. Paths are relative to the workspace. */
export interface MeasureExecutorSchema {
  image: string;
  lock?: string;
  platform?: MeasuredPlatform;
  vmm?: 'hyperv' | 'kvm';
  json?: boolean;
  updateLock?: boolean;
}
