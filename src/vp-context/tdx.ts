import { unreachable } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';
import {
  EFER,
  PAT_AT_RESET,
  type TableRegister,
  type VpContextBuilder,
  type VpContextPart,
  type VpRegister,
  type VpRegisterName,
} from './vp-register';
import { JUMP, X86Code } from './x86-code';

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

/** The state that the code of the reset page loads. Registers that were not set are 0. */
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
  // A table with one descriptor, 0x08: a 64-bit code segment for entering long mode.
  view.setUint16(TDX_BOOT.staticGdtr, 0xf, true);
  view.setUint32(TDX_BOOT.staticGdtr + 2, TDX_RESET_PAGE_GPA + TDX_BOOT.staticGdt, true);
  page.set([0xff, 0xff, 0, 0, 0, 0x9b, 0xa0, 0], TDX_BOOT.staticGdt + 8);
}

/** Where a processor starts: 16 bytes below the end of the page. */
const RESET_VECTOR = 0xff0;

/** An INT3 before the reset vector, the target of all errors. */
const BREAKPOINT = RESET_VECTOR - 1;

const INT3 = 0xcc;

/**
 * The page at the reset vector: the boot state, then code that enters long mode with it. A processor arrives in 32-bit
 * protected mode with paging off. ESI is its index, which is 0 on the boot processor. The others wait in the mailbox
 * loop.
 */
export function tdxResetPage(state: TdxBootState, options: { acceptLowMemory: boolean }): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE).fill(INT3);
  writeTdxBootState(state, page);
  new X86Code(page, RESET_VECTOR).withRelative([0xe9], TDX_BOOT_STATE_SIZE); // jmp to the code below
  const code = new X86Code(page, TDX_BOOT_STATE_SIZE);
  enterLongMode(code);
  loadDescriptorTables(code, page);
  waitInMailbox(code);
  if (options.acceptLowMemory) acceptLowMemory(code);
  loadRegistersAndJump(code);
  return page;
}

/** 32-bit code: operands are absolute addresses. CR0 comes last, and a far jump has to follow it. */
function enterLongMode(code: X86Code): void {
  const address = (offset: number): number => TDX_RESET_PAGE_GPA + offset;
  code.withImmediate([0x0f, 0x01, 0x15], address(TDX_BOOT.staticGdtr)); // lgdt
  code.withImmediate([0x8b, 0x05], address(TDX_BOOT_VALUES.cr4)); // mov eax, cr4 value
  code.emit(0x0f, 0x22, 0xe0); // mov cr4, eax
  code.withImmediate([0x8b, 0x05], address(TDX_BOOT.transitionCr3)); // mov eax, low half of the cr3 value
  code.emit(0x0f, 0x22, 0xd8); // mov cr3, eax
  code.withImmediate([0x8b, 0x05], address(TDX_BOOT_VALUES.cr0)); // mov eax, cr0 value
  code.emit(0x0f, 0x22, 0xc0); // mov cr0, eax
  code.withImmediate([0xea], address(code.offset + 7)).emit(0x08, 0x00); // jmp 0x08:next instruction
}

/** 64-bit code, like everything after it. A guest without its own GDT keeps the selectors. */
function loadDescriptorTables(code: X86Code, page: Uint8Array): void {
  code.withRelative([0x48, 0x8b, 0x05], TDX_BOOT_VALUES.cr3); // mov rax, cr3 value
  code.emit(0x0f, 0x22, 0xd8); // mov cr3, rax
  const noGdt = skipIfWordIsZero(code, TDX_BOOT.gdtr);
  code.withRelative([0x0f, 0x01, 0x15], TDX_BOOT.gdtr); // lgdt
  // igvmfilegen writes the code's length so far over the static GDT's last byte (a slip in its generator). The byte holds bits 24-31 of a code segment's base, which long mode ignores. It is measured, so we write it, too.
  page[TDX_BOOT_STATE_SIZE - 1] = code.offset - TDX_BOOT_STATE_SIZE;
  const noIdt = skipIfWordIsZero(code, TDX_BOOT.idtr);
  code.withRelative([0x0f, 0x01, 0x1d], TDX_BOOT.idtr); // lidt
  code.land(noIdt);
  code.withRelative([0x66, 0x8b, 0x05], TDX_BOOT.dataSelector); // mov ax, data selector
  code.emit(0x8e, 0xd0); // mov ss, ax
  code.emit(0x8e, 0xd8); // mov ds, ax
  code.emit(0x8e, 0xc0); // mov es, ax
  code.emit(0x8e, 0xe0); // mov fs, ax
  code.emit(0x8e, 0xe8); // mov gs, ax
  const noTask = skipIfWordIsZero(code, TDX_BOOT.taskSelector);
  code.emit(0x0f, 0x00, 0xd8); // ltr ax
  code.land(noTask);
  code.land(noGdt);
}

/** Leaves the word at `offset` in AX and jumps when it is 0. */
function skipIfWordIsZero(code: X86Code, offset: number): ReturnType<X86Code['jumpAhead']> {
  code.withRelative([0x66, 0x8b, 0x05], offset); // mov ax, word
  code.emit(0x66, 0x85, 0xc0); // test ax, ax
  return code.jumpAhead(JUMP.ifZero);
}

const testEsi = (code: X86Code): X86Code => code.emit(0x85, 0xf6); // test esi, esi

const tdcall = (code: X86Code): X86Code => code.emit(0x66, 0x0f, 0x01, 0xcc);

/** Application processors ask for their APIC ID (TDG.VP.VMCALL: RDMSR 0x802) and spin until the mailbox names it. */
function waitInMailbox(code: X86Code): void {
  testEsi(code);
  const isBootProcessor = code.jumpAhead(JUMP.ifZero);
  code.emit(0x31, 0xc0); // xor eax, eax: TDG.VP.VMCALL
  code.withImmediate([0xb9], 0x1c00); // mov ecx, registers passed: r10, r11, r12
  code.emit(0x4d, 0x31, 0xd2); // xor r10, r10
  code.withImmediate([0x41, 0xbb], 0x1f); // mov r11d, RDMSR
  code.withImmediate([0x41, 0xbc], 0x802); // mov r12d, x2APIC ID
  tdcall(code);
  const again = code.offset;
  code.withRelative([0x8b, 0x05], TDX_BOOT.mailboxApicId); // mov eax, APIC ID in the mailbox
  code.emit(0x41, 0x39, 0xc3); // cmp r11d, eax
  code.jumpBack(JUMP.ifNotEqual, again);
  code.emit(0x31, 0xdb); // xor ebx, ebx
  code.withRelative([0x8b, 0x1d], TDX_BOOT.mailboxCommand); // mov ebx, command
  code.withImmediate([0xba], 1); // mov edx, wake up
  code.emit(0x39, 0xd3); // cmp ebx, edx
  code.jumpBack(JUMP.ifNotEqual, again);
  code.land(isBootProcessor);
}

/** The boot processor accepts the low megabyte page by page (TDG.MEM.PAGE.ACCEPT). A paravisor would do that itself. */
function acceptLowMemory(code: X86Code): void {
  testEsi(code);
  const isOtherProcessor = code.jumpAhead(JUMP.ifNotZero);
  code.emit(0x33, 0xc9); // xor ecx, ecx: first page
  code.emit(0x33, 0xd2); // xor edx, edx
  code.withImmediate([0xbf], 0x100000); // mov edi, end
  const nextPage = code.offset;
  code.withImmediate([0xb8], 6); // mov eax, TDG.MEM.PAGE.ACCEPT
  tdcall(code);
  code.emit(0x48, 0x85, 0xc0); // test rax, rax
  code.withRelative([0x0f, 0x85], BREAKPOINT); // jne
  code.withImmediate([0x81, 0xc1], 0x1000); // add ecx, page size
  code.emit(0x3b, 0xcf); // cmp ecx, edi
  code.jumpBack(JUMP.ifBelow, nextPage);
  code.land(isOtherProcessor);
}

/** Other processors acknowledge the mailbox's command and start at its vector; then all load their registers and go. */
function loadRegistersAndJump(code: X86Code): void {
  testEsi(code);
  const isBootProcessor = code.jumpAhead(JUMP.ifZero);
  code.emit(0x48, 0x31, 0xc0); // xor rax, rax
  code.withRelative([0x66, 0x89, 0x05], TDX_BOOT.mailboxCommand); // mov command, ax
  code.withRelative([0x48, 0x8b, 0x05], TDX_BOOT.mailboxWakeupVector); // mov rax, wake-up vector
  code.withRelative([0x48, 0x89, 0x05], TDX_BOOT_VALUES.rip); // mov entry point, rax
  code.land(isBootProcessor);
  code.withRelative([0x48, 0x8b, 0x25], TDX_BOOT_VALUES.rsp); // mov rsp, value
  code.withRelative([0x48, 0x8b, 0x2d], TDX_BOOT_VALUES.rbp); // mov rbp, value
  code.emit(0x8b, 0xce); // mov ecx, esi
  code.withRelative([0x48, 0x8b, 0x35], TDX_BOOT_VALUES.rsi); // mov rsi, value
  code.withRelative([0x4c, 0x8b, 0x05], TDX_BOOT_VALUES.r8); // mov r8, value
  code.withRelative([0x4c, 0x8b, 0x0d], TDX_BOOT_VALUES.r9); // mov r9, value
  code.withRelative([0x4c, 0x8b, 0x15], TDX_BOOT_VALUES.r10); // mov r10, value
  code.withRelative([0x4c, 0x8b, 0x1d], TDX_BOOT_VALUES.r11); // mov r11, value
  const noCodeSelector = skipIfWordIsZero(code, TDX_BOOT.codeSelector);
  code.withRelative([0x48, 0xff, 0x2d], TDX_BOOT_VALUES.rip); // jmp far [entry point]
  code.land(noCodeSelector);
  code.withRelative([0x48, 0xff, 0x25], TDX_BOOT_VALUES.rip); // jmp [entry point]
}

/** Registers that are loaded from one selector. */
const DATA_SEGMENTS: ReadonlySet<VpRegisterName> = new Set<VpRegisterName>(['ds', 'es', 'fs', 'gs', 'ss']);

/** Checked, but not stored: a TD always starts with these values. */
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
   * Refuses data segments that differ, CR3 above 4 GiB (the reset code loads it in 32-bit mode), EFER without LME, and
   * any PAT other than that after a reset.
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
