import { unreachable } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';
import { tdxResetPage } from './tdx-reset-page';
import { TDX_RESET_PAGE_GPA, type TdxBootState, TDX_BOOT_VALUES, type TdxBootValueName } from './tdx-boot-state';
import type { VpContextBuilder, VpContextPart } from './vp-context-builder';
import type { VpRegister, VpRegisterName } from './vp-register';
import { EFER, PAT_AT_RESET } from './x86-registers';

/** All loaded from one selector. */
const DATA_SEGMENTS: ReadonlySet<VpRegisterName> = new Set<VpRegisterName>(['ds', 'es', 'fs', 'gs', 'ss']);

/** Checked, not stored: a TD starts with these values and no others. */
const FIXED: ReadonlySet<VpRegisterName> = new Set<VpRegisterName>(['efer', 'pat']);

const OTHERS: ReadonlySet<VpRegisterName> = new Set<VpRegisterName>(['cs', 'tr', 'gdtr', 'idtr']);

/**
 * A TD's virtual processors all start at the reset vector with fixed registers, so the initial state is a page of
 * code there that loads it. Source: openvmm vp_context_builder/tdx.rs.
 */
export class TdxContext implements VpContextBuilder {
  private readonly state: TdxBootState = {
    dataSelector: 0,
    taskSelector: 0,
    codeSelector: 0,
    gdtr: { base: 0n, limit: 0 },
    idtr: { base: 0n, limit: 0 },
    values: new Map(),
  };

  /** @param paravisorPresent without a paravisor the reset page also accepts the low megabyte, for UEFI */
  constructor(private readonly options: { paravisorPresent: boolean }) {}

  canHold(name: VpRegisterName): boolean {
    return name in TDX_BOOT_VALUES || DATA_SEGMENTS.has(name) || FIXED.has(name) || OTHERS.has(name);
  }

  /**
   * Takes no data segments that differ, no CR3 above 4 GiB (the reset code loads it in 32-bit mode), no EFER without LME
   * and no PAT other than the one after reset.
   */
  setRegister(register: VpRegister): void {
    if (!this.canHold(register.name)) unreachable(`a TDX VP context has no place for ${register.name}`);
    if ('table' in register) this.state[register.name] = register.table;
    else if ('segment' in register) this.setSelector(register.name, register.segment.selector);
    else if (register.name === 'efer') {
      if ((register.value & EFER.LME) === 0n) unreachable('a TD starts with EFER.LME set, but efer has it clear');
    } else if (register.name === 'pat') {
      if (register.value !== PAT_AT_RESET)
        unreachable('a TD starts with the PAT of a reset, but pat has another value');
    } else {
      if (register.name === 'cr3' && register.value > 0xffffffffn) unreachable('under TDX cr3 must be below 4 GiB');
      this.state.values.set(register.name as TdxBootValueName, register.value);
    }
  }

  private setSelector(name: VpRegisterName, selector: number): void {
    if (name === 'cs') this.state.codeSelector = selector;
    else if (name === 'tr') this.state.taskSelector = selector;
    else if (this.state.dataSelector === 0) this.state.dataSelector = selector;
    else if (this.state.dataSelector !== selector) {
      unreachable(`under TDX all data segments have one selector, but ${name} differs from those set before`);
    }
  }

  setContextPage(): void {
    unreachable('a TDX VP context has its page at the reset vector');
  }

  finish(): VpContextPart[] {
    const data = tdxResetPage(this.state, { acceptLowMemory: !this.options.paravisorPresent });
    return [{ kind: 'pages', pageBase: TDX_RESET_PAGE_GPA / PAGE_SIZE, pageCount: 1, acceptance: 'exclusive', data }];
  }
}
