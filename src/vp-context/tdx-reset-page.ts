import { PAGE_SIZE } from '../memory/page';
import {
  TDX_BOOT,
  TDX_BOOT_STATE_SIZE,
  TDX_BOOT_VALUES,
  TDX_RESET_PAGE_GPA,
  type TdxBootState,
  writeTdxBootState,
} from './tdx-boot-state';
import { JUMP, X86Code } from './x86-code';

/** Where a processor starts: 16 bytes below the end of the page. */
const RESET_VECTOR = 0xff0;

/** An INT3 in front of the reset vector, where errors go. */
const BREAKPOINT = RESET_VECTOR - 1;

const INT3 = 0xcc;

/**
 * The page at the reset vector: the boot state, then code that enters long mode with it. A processor arrives in 32-bit
 * protected mode with paging off and ESI 0 on the boot processor, its index on the others; these wait in the mailbox loop.
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

/** From here on 64-bit code. Without a GDT of its own the guest keeps the selectors as they are. */
function loadDescriptorTables(code: X86Code, page: Uint8Array): void {
  code.withRelative([0x48, 0x8b, 0x05], TDX_BOOT_VALUES.cr3); // mov rax, cr3 value
  code.emit(0x0f, 0x22, 0xd8); // mov cr3, rax
  const noGdt = skipIfWordIsZero(code, TDX_BOOT.gdtr);
  code.withRelative([0x0f, 0x01, 0x15], TDX_BOOT.gdtr); // lgdt
  // igvmfilegen writes the code's length so far over the static GDT's last byte (a slip in its generator). The byte is
  // bits 24-31 of a code segment's base, which long mode ignores; it is measured, so ours has it too.
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

/** The boot processor accepts the low megabyte page by page (TDG.MEM.PAGE.ACCEPT), which a paravisor would do itself. */
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
