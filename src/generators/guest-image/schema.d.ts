import type { IsolationName } from '../../igvm/isolation';

export type GuestImageType = 'linux-direct' | 'linux-paravisor' | 'uefi' | 'ovmf' | 'snp-linux-direct';

export interface GuestImageGeneratorSchema {
  name: string;
  type?: GuestImageType;
  directory?: string;
  arch?: 'x64' | 'aarch64';
  isolation?: IsolationName[];
  kernel?: string;
  initrd?: string;
  commandLine?: string;
  memorySize?: string | number;
  bootData?: 'embedded' | 'vmm';
  processorCount?: number;
  uefi?: string;
  firmware?: string;
  uki?: string;
  paravisor?: boolean;
  debug?: boolean;
  embedCorim?: boolean;
  from?: string;
  resources?: string;
  useProjectJson?: boolean;
  tags?: string;
  skipFormat?: boolean;
}
