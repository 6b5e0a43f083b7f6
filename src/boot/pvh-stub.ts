import { IgvmError } from '../errors/igvm-error';
import type { NativeContextFields } from '../vp-context/native';
import { CR0, CR4, EFER, RFLAGS_FIXED, type SegmentRegister } from '../vp-context/vp-register';

/** Offsets in the stub's block, in bytes. The names are those in pvh-stub.S. */
export const STUB = {
  STUB_GDTR: 0x00,
  DATA_SELECTOR: 0x06,
  CR0: 0x08,
  CR3: 0x0c,
  CR4: 0x10,
  EFER: 0x14,
  FAR_POINTER: 0x18,
  COPY_TABLE: 0x20,
  ZERO_PAGE: 0x24,
  RSP: 0x28,
  GS_BASE: 0x30,
  GDTR: 0x38,
  IDTR: 0x48,
  REGISTERS: 0x58,
  RIP: 0xd8,
  GDT: 0x100,
  CODE: 0x180,
} as const;

/** pvh-stub.S, assembled. A test assembles it again and compares. */
export const STUB_CODE = Buffer.from(
  `
  bd78563412fafc8b552485d27445813b78c56e33753d837b040074378b4b30e3
  3281f9800000007605b980000000888ae80100008b73288dbad0020000a5a5a5
  a5a583c604e2f68b43208942708b43248942748b55208b4a08e30c8b328b7a04
  f3a583c20cebef0f0155008b45100f22e08b450c0f22d8b9800000c08b451431
  d20f308b45080f22c0ff6d1889ed0fb745068ed88ec08ee08ee88ed0b9010100
  c08b45308b55340f300f0155380f015d48488d65589d58595a5b5d5e5f415841
  59415a415b415c415d415e415f488b25d4fdffffff257efeffff
`.replace(/\s/g, ''),
  'hex',
);

/** Offset of `long_mode` in {@link STUB_CODE}. */
export const STUB_LONG_MODE = 0x8c;

/** Offset in {@link STUB_CODE} of the immediate that holds the block's address. */
const STUB_SELF = 1;

/** The registers in the order in which the stub pops them. It jumps to the last one. */
const POPPED = [
  'rflags',
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
] as const;

/** The CR4 bits that may be set before paging is enabled: all except LA57, VMXE, SMXE, PCIDE and those introduced after SMAP. */
const CR4_ALLOWED = 0x350fffn;
/** The EFER bits that every 64-bit processor has. */
const EFER_ALLOWED = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE;

/** Memory that the stub copies to its place. The addresses are physical and below 4 GiB, `size` is in bytes and a multiple of 4. */
export interface StagedCopy {
  source: number;
  destination: number;
  size: number;
}

/**
 * The stub's block for one image: parameters, GDT, code and copy table.
 * @param base GPA where the block is loaded; a multiple of 8
 * @param zeroPage the GPA, while the stub runs, of the Linux zero page that gets the VMM's memory map and ACPI tables; 0 if none does
 * @throws IgvmError BOOT_CONTEXT when the stub can't bring a processor into that state
 */
export function stubBlock(
  base: number,
  context: NativeContextFields,
  copies: readonly StagedCopy[],
  zeroPage: number,
): Uint8Array {
  checkContext(context);
  const copyTable = STUB.CODE + STUB_CODE.length + (-STUB_CODE.length & 7);
  const view = new DataView(new ArrayBuffer(copyTable + (copies.length + 1) * 12));
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);

  u16(STUB.STUB_GDTR, STUB.CODE - STUB.GDT - 1);
  u32(STUB.STUB_GDTR + 2, base + STUB.GDT);
  u16(STUB.DATA_SELECTOR, context.data.selector);
  u32(STUB.CR0, Number(context.cr0));
  u32(STUB.CR3, Number(context.cr3));
  u32(STUB.CR4, Number(context.cr4));
  u32(STUB.EFER, Number(context.efer & ~EFER.LMA));
  u32(STUB.FAR_POINTER, base + STUB.CODE + STUB_LONG_MODE);
  u16(STUB.FAR_POINTER + 4, context.code.selector);
  u32(STUB.COPY_TABLE, base + copyTable);
  u32(STUB.ZERO_PAGE, zeroPage);
  u64(STUB.RSP, context.rsp);
  u64(STUB.GS_BASE, context.gsBase);
  for (const [at, table] of [
    [STUB.GDTR, context.gdtr],
    [STUB.IDTR, context.idtr],
  ] as const) {
    u16(at, table.limit);
    u64(at + 2, table.base);
  }
  for (const [index, name] of POPPED.entries()) {
    u64(STUB.REGISTERS + index * 8, name === 'rflags' ? context.rflags | RFLAGS_FIXED : context[name]);
  }
  u64(STUB.GDT + context.code.selector, descriptor(context.code));
  if (context.data.selector !== 0) u64(STUB.GDT + context.data.selector, descriptor(context.data));
  new Uint8Array(view.buffer).set(STUB_CODE, STUB.CODE);
  u32(STUB.CODE + STUB_SELF, base);
  for (const [index, { source, destination, size }] of copies.entries()) {
    u32(copyTable + index * 12, source);
    u32(copyTable + index * 12 + 4, destination);
    u32(copyTable + index * 12 + 8, size / 4);
  }
  return new Uint8Array(view.buffer);
}

function checkContext({ cr0, cr3, cr4, efer, code, data }: NativeContextFields): void {
  const wrong = (what: string): IgvmError => new IgvmError('BOOT_CONTEXT', what);
  if ((cr0 & CR0.PG) === 0n || (cr4 & CR4.PAE) === 0n || (efer & EFER.LME) === 0n) {
    throw wrong('the image does not start in 64-bit mode with paging');
  }
  if (cr0 >> 32n !== 0n) throw wrong(`CR0 is 0x${cr0.toString(16)}, more than 32 bits`);
  if (cr3 >> 32n !== 0n) throw wrong(`the page tables are at 0x${cr3.toString(16)}, above 4 GiB`);
  if ((cr4 & ~CR4_ALLOWED) !== 0n) {
    throw wrong(`CR4 is 0x${cr4.toString(16)}, which has features that can't be switched on together with paging`);
  }
  if ((efer & ~EFER_ALLOWED) !== 0n) throw wrong(`EFER is 0x${efer.toString(16)}, more than SCE, LME, LMA and NXE`);
  const isInGdt = (selector: number): boolean => selector < STUB.CODE - STUB.GDT && selector % 8 === 0;
  if (code.selector === 0 || !isInGdt(code.selector) || !isInGdt(data.selector) || code.selector === data.selector) {
    throw wrong(
      `the selectors 0x${code.selector.toString(16)} (code) and 0x${data.selector.toString(16)} (data) are not two different ones below 0x80 for ring 0`,
    );
  }
}

/** The segment as a GDT entry (Intel SDM vol. 3, 3.4.5). */
function descriptor({ base, limit, attributes }: SegmentRegister): bigint {
  const isInPages = (attributes & 0x8000) !== 0;
  const field = BigInt(isInPages ? limit >>> 12 : limit);
  const access = BigInt(attributes & 0xff);
  const flags = BigInt((attributes >>> 12) & 0xf);
  return (
    (field & 0xffffn) |
    ((base & 0xffffffn) << 16n) |
    (access << 40n) |
    (((field >> 16n) & 0xfn) << 48n) |
    (flags << 52n) |
    (((base >> 24n) & 0xffn) << 56n)
  );
}
