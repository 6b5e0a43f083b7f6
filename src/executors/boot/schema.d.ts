/** Options of `nx-igvm:boot`; schema.json describes them. Paths are relative to the workspace. */
export interface BootExecutorSchema {
  image: string;
  vmm?: 'qemu' | 'cloud-hypervisor';
  vmmPath?: string;
  accel?: 'auto' | 'kvm' | 'tcg';
  memory?: string | number;
  cpus?: number;
  way?: 'pvh' | 'igvm';
  tables?: 'vmm' | 'auto' | 'image';
  commandLine?: string;
  until?: string;
  timeout?: number;
  vmmArgs?: string[];
  __unparsed__?: string[];
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
