import type { TableRegister } from './vp-register';

/** Byte offsets of the 64-bit registers in the state below. */
export const TDX_BOOT_VALUES = {
  rip: 0x28,
  rsp: 0x40,
  rbp: 0x48,
  rsi: 0x50,
  r8: 0x58,
  r9: 0x60,
  r10: 0x68,
  r11: 0x70,
  cr0: 0x78,
  cr3: 0x80,
  cr4: 0x88,
} as const;

export type TdxBootValueName = keyof typeof TDX_BOOT_VALUES;

/** The state that the reset page's code loads. Registers that were not set are 0. */
export interface TdxBootState {
  dataSelector: number;
  taskSelector: number;
  codeSelector: number;
  gdtr: TableRegister;
  idtr: TableRegister;
  values: Map<TdxBootValueName, bigint>;
}

/**
 * Byte offsets of everything else in the structure at the start of the reset page (openvmm
 * vm/loader/loader_defs/src/shim.rs: TdxTrampolineContext). A paravisor wakes the other processors through the mailbox.
 */
export const TDX_BOOT = {
  mailboxCommand: 0x00,
  mailboxApicId: 0x04,
  mailboxWakeupVector: 0x08,
  dataSelector: 0x14,
  /** Limit and base, as LGDT reads them. */
  staticGdtr: 0x16,
  taskSelector: 0x1c,
  idtr: 0x1e,
  codeSelector: 0x30,
  gdtr: 0x36,
  transitionCr3: 0x90,
  staticGdt: 0x98,
} as const;

/** Bytes of the structure; code follows. */
export const TDX_BOOT_STATE_SIZE = 0xa8;

/** GPA of the page in which the structure lies. */
export const TDX_RESET_PAGE_GPA = 0xfffff000;

/** Writes the structure to the start of `page`. */
export function writeTdxBootState(state: TdxBootState, page: Uint8Array): void {
  page.fill(0, 0, TDX_BOOT_STATE_SIZE);
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  view.setUint16(TDX_BOOT.dataSelector, state.dataSelector, true);
  view.setUint16(TDX_BOOT.taskSelector, state.taskSelector, true);
  view.setUint16(TDX_BOOT.codeSelector, state.codeSelector, true);
  for (const name of ['gdtr', 'idtr'] as const) {
    view.setUint16(TDX_BOOT[name], state[name].limit, true);
    view.setBigUint64(TDX_BOOT[name] + 2, state[name].base, true);
  }
  for (const [name, value] of state.values) view.setBigUint64(TDX_BOOT_VALUES[name], value, true);
  view.setUint32(TDX_BOOT.transitionCr3, Number(state.values.get('cr3') ?? 0n), true);
  // A table with one descriptor, 0x08: a 64-bit code segment, for the way into long mode.
  view.setUint16(TDX_BOOT.staticGdtr, 0xf, true);
  view.setUint32(TDX_BOOT.staticGdtr + 2, TDX_RESET_PAGE_GPA + TDX_BOOT.staticGdt, true);
  page.set([0xff, 0xff, 0, 0, 0, 0x9b, 0xa0, 0], TDX_BOOT.staticGdt + 8);
}
