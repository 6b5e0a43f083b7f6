import type { LaunchOptions } from '../../measurement/launches';

/** Options of `nx-igvm:reference-values`; schema.json describes them. Paths are relative to the workspace. */
export interface ReferenceValuesExecutorSchema extends LaunchOptions {
  image: string;
  outputPath: string;
  lock?: string;
  manifest?: string;
  formats?: ('trustee' | 'corim' | 'go-sev-guest' | 'in-toto')[];
  signKey?: string;
  signCommand?: string[];
  publicKey?: string;
  envelope?: 'dsse' | 'sigstore';
  ownKeys?: ('inputs' | 'outputs' | 'dependsOn' | 'cache')[];
}
