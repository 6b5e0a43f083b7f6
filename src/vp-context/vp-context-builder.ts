import type { PageAcceptance } from '../igvm/page-data';
import type { VpContextDirective } from '../igvm/model';
import type { VpRegister, VpRegisterName } from './vp-register';

/** What a finished VP context becomes: pages of the guest (TDX reset vector, SNP VMSA), or a directive of its own. */
export type VpContextPart =
  | { kind: 'pages'; pageBase: number; pageCount: number; acceptance: PageAcceptance; data: Uint8Array }
  | { kind: 'directive'; directive: VpContextDirective };

/** Collects the BSP's registers and turns them into one platform's VP context. One file per platform beside this one. */
export interface VpContextBuilder {
  /** Whether the context has a place for the register. A loader asks before it sets what it can do without. */
  canHold(name: VpRegisterName): boolean;
  /** Only what the context can hold: what a user can ask for, loaders check before they set it. */
  setRegister(register: VpRegister): void;
  /** First page number of the memory that the context may use for itself. */
  setContextPage(pageBase: number): void;
  /** The context's parts, in the order in which they are imported. Called once. */
  finish(): VpContextPart[];
}
