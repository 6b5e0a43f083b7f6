import { type DumpRecord, fieldsText } from '../igvm/dump';

/** Names of single bits by their number. */
type Bits = Readonly<Record<number, string>>;

/** Source: Intel SDM vol. 3A, 2.5 and 2.2.1; AMD64 manual vol. 2, 3.1. */
const BITS: Readonly<Record<string, Bits>> = {
  cr0: { 0: 'PE', 1: 'MP', 2: 'EM', 3: 'TS', 4: 'ET', 5: 'NE', 16: 'WP', 18: 'AM', 29: 'NW', 30: 'CD', 31: 'PG' },
  cr4: {
    0: 'VME',
    1: 'PVI',
    2: 'TSD',
    3: 'DE',
    4: 'PSE',
    5: 'PAE',
    6: 'MCE',
    7: 'PGE',
    8: 'PCE',
    9: 'OSFXSR',
    10: 'OSXMMEXCPT',
    11: 'UMIP',
    12: 'LA57',
    13: 'VMXE',
    16: 'FSGSBASE',
    17: 'PCIDE',
    18: 'OSXSAVE',
    20: 'SMEP',
    21: 'SMAP',
    22: 'PKE',
  },
  efer: { 0: 'SCE', 8: 'LME', 10: 'LMA', 11: 'NXE', 12: 'SVME', 13: 'LMSLE', 14: 'FFXSR' },
  rflags: { 0: 'CF', 2: 'PF', 4: 'AF', 6: 'ZF', 7: 'SF', 8: 'TF', 9: 'IF', 10: 'DF', 11: 'OF' },
  xcr0: { 0: 'x87', 1: 'SSE', 2: 'AVX', 5: 'opmask', 6: 'ZMM_Hi256', 7: 'Hi16_ZMM', 9: 'PKRU' },
  mtrrDefType: { 10: 'fixed ranges on', 11: 'MTRRs on' },
  sctlrEl1: { 0: 'M', 1: 'A', 2: 'C', 12: 'I' },
};

/** Memory types of PAT and MTRRs (Intel SDM vol. 3A, 12.11). */
const MEMORY_TYPES: Readonly<Record<number, string>> = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB', 7: 'UC-' };

/**
 * Registers that hold an address in guest memory: when a guest starts, paging maps every address to itself. Registers that pass on data,
 * such as RSI, are not among them, because their meaning depends on the loader and the guest.
 */
const ADDRESSES: ReadonlySet<string> = new Set(['rip', 'rsp', 'rbp', 'pc', 'ttbr0El1', 'vbarEl1']);

/** Bits of CR3 that are an address (AMD64 manual vol. 2, 5.3.2), without an SNP guest's C-bit, which lies above. */
const CR3_ADDRESS = 0x7_ffff_ffff_f000n;

/** The address that a register or descriptor table holds, if it holds one. */
export function registerAddress(register: DumpRecord): number | undefined {
  const { value, base } = register;
  const name = nameOf(register);
  if (name === 'gdtr' || name === 'idtr') return inRange(base);
  if (name === 'cr3' && typeof value === 'bigint') return inRange(value & CR3_ADDRESS);
  return ADDRESSES.has(name) ? inRange(value) : undefined;
}

const nameOf = ({ name }: DumpRecord): string => (typeof name === 'string' ? name : '');

function inRange(value: unknown): number | undefined {
  return typeof value === 'bigint' && value > 0n && value < 2n ** 52n ? Number(value) : undefined;
}

/** What the bits of a register mean; empty for a register that is just a number. */
export function registerMeaning(register: DumpRecord): string {
  const { value, attributes, limit, meaning } = register;
  const name = nameOf(register);
  if (Array.isArray(meaning)) return fieldsText({ name: meaning });
  if (typeof attributes === 'number' && attributes !== 0) return segmentMeaning(attributes);
  // Segments without attributes have limits, too, and gates of an IDT have another size.
  if (typeof limit === 'number') return name === 'gdtr' ? `${Math.floor((limit + 1) / 8)} entries` : '';
  if (typeof value !== 'bigint') return '';
  if (name === 'pat') return memoryTypes(value);
  const bits = BITS[name];
  return bits === undefined ? '' : bitNames(value, bits);
}

function bitNames(value: bigint, bits: Bits): string {
  const names: string[] = [];
  for (let bit = 0, rest = value; rest !== 0n; bit++, rest >>= 1n) {
    const name = bits[bit];
    if ((rest & 1n) !== 0n && name !== undefined) names.push(name);
  }
  return names.join(', ');
}

function memoryTypes(value: bigint): string {
  const entries = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
  return entries.map((entry) => MEMORY_TYPES[entry] ?? String(entry)).join(' ');
}

/** Attributes in the layout of VMX: type, S, DPL and P in the low byte; AVL, L, D/B and G in bits 12 to 15. */
function segmentMeaning(attributes: number): string {
  const isCode = (attributes & 0x18) === 0x18;
  const isSystem = (attributes & 0x10) === 0;
  const size = (attributes & 0x2000) !== 0 ? '64-bit ' : (attributes & 0x4000) !== 0 ? '32-bit ' : '';
  const kind = isSystem ? 'system' : `${size}${isCode ? 'code' : 'data'}`;
  const state = (attributes & 0x80) === 0 ? 'not present' : 'present';
  return `${kind}, ring ${(attributes >> 5) & 3}, ${state}`;
}
