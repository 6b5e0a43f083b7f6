import { hex } from '../errors/printable';
import { IgvmError, unreachable } from '../errors/igvm-error';
import type { GuestArch } from '../igvm/model';
import { VBS_HEADER_SIZE, VBS_REGISTER_SIZE } from '../igvm/platforms';
import {
  type VpContextBuilder,
  type VpContextPart,
  type VpRegister,
  type VpRegisterName,
  withoutNamed,
} from './vp-register';

/**
 * Hyper-V's numbers for the registers (HvX64RegisterName, HvArm64RegisterName in the hypervisor's functional
 * specification; crates.io igvm, src/hv_defs.rs).
 */
export const VBS_REGISTER: Record<GuestArch, Partial<Record<VpRegisterName, number>>> = {
  x64: {
    rsp: 0x00020004,
    rbp: 0x00020005,
    rsi: 0x00020006,
    r8: 0x00020008,
    r9: 0x00020009,
    r10: 0x0002000a,
    r11: 0x0002000b,
    r12: 0x0002000c,
    rip: 0x00020010,
    rflags: 0x00020011,
    cr0: 0x00040000,
    cr3: 0x00040002,
    cr4: 0x00040003,
    es: 0x00060000,
    cs: 0x00060001,
    ss: 0x00060002,
    ds: 0x00060003,
    fs: 0x00060004,
    gs: 0x00060005,
    tr: 0x00060007,
    idtr: 0x00070000,
    gdtr: 0x00070001,
    efer: 0x00080001,
    pat: 0x00080004,
    mtrrDefType: 0x0008000e,
    mtrrPhysBase0: 0x00080010,
    mtrrPhysBase1: 0x00080011,
    mtrrPhysBase2: 0x00080012,
    mtrrPhysBase3: 0x00080013,
    mtrrPhysBase4: 0x00080014,
    mtrrPhysMask0: 0x00080040,
    mtrrPhysMask1: 0x00080041,
    mtrrPhysMask2: 0x00080042,
    mtrrPhysMask3: 0x00080043,
    mtrrPhysMask4: 0x00080044,
    mtrrFix64k00000: 0x00080070,
    mtrrFix16k80000: 0x00080071,
    mtrrFix4kE0000: 0x00080077,
    mtrrFix4kE8000: 0x00080078,
    mtrrFix4kF0000: 0x00080079,
    mtrrFix4kF8000: 0x0008007a,
  },
  aarch64: {
    x0: 0x00020000,
    x1: 0x00020001,
    x2: 0x00020002,
    x3: 0x00020003,
    x4: 0x00020004,
    x5: 0x00020005,
    x6: 0x00020006,
    x7: 0x00020007,
    pc: 0x00020022,
    cpsr: 0x00020023,
    sctlrEl1: 0x00040002,
    ttbr0El1: 0x00040005,
    ttbr1El1: 0x00040006,
    tcrEl1: 0x00040007,
    mairEl1: 0x0004000b,
    vbarEl1: 0x0004000c,
  },
};

/** The registers whose value is not a plain number. */
export const TABLE_REGISTERS = ['gdtr', 'idtr'] as const;
export const SEGMENT_REGISTERS = ['ds', 'es', 'fs', 'gs', 'ss', 'cs', 'tr'] as const;

/**
 * Offsets in a register (igvm_defs: VbsVpContextRegister): the VTL (u8), its name (u32, unaligned), eleven zeros, its
 * value.
 */
const NAME_OFFSET = 1;
const VALUE_OFFSET = 0x10;

/** A decoded VBS context. */
export interface VbsContextFields {
  /** The VTL of the registers. */
  vtl: number;
  /** In the order of the file. */
  registers: VpRegister[];
}

/**
 * The registers of a VBS context as stored in a file, or at the start of a page.
 * @throws IgvmError IGVM_MALFORMED when the bytes are too few, the VTLs differ or there is no register;
 *   IGVM_UNSUPPORTED for a register that is unknown to the format's reference as well
 */
export function decodeVbsContext(context: Uint8Array, arch: GuestArch): VbsContextFields {
  const malformed = (what: string): IgvmError => new IgvmError('IGVM_MALFORMED', `a VBS VP context ${what}`);
  if (context.length < VBS_HEADER_SIZE) throw malformed(`is ${context.length} bytes long, too short for its header`);
  const view = new DataView(context.buffer, context.byteOffset, context.length);
  const count = view.getUint32(0, true);
  if (count === 0) throw malformed('has no registers');
  if (count > (context.length - VBS_HEADER_SIZE) / VBS_REGISTER_SIZE) {
    throw malformed(`states that it has ${count} registers, but is only ${context.length} bytes long`);
  }
  const vtl = view.getUint8(VBS_HEADER_SIZE);
  const registers: VpRegister[] = [];
  for (let at = VBS_HEADER_SIZE; registers.length < count; at += VBS_REGISTER_SIZE) {
    if (view.getUint8(at) !== vtl) throw malformed('has registers of more than one VTL');
    registers.push(readRegister(view, at, arch));
  }
  return { vtl, registers };
}

/** The bytes of a VBS context that {@link decodeVbsContext} doesn't decode; zeros in place of the others. */
export function unnamedInVbs(context: Uint8Array, { registers }: VbsContextFields): Uint8Array {
  const named: [offset: number, size: number][] = [[0, VBS_HEADER_SIZE]];
  for (const [index, register] of registers.entries()) {
    const at = VBS_HEADER_SIZE + index * VBS_REGISTER_SIZE;
    const value = at + VALUE_OFFSET;
    named.push([at, NAME_OFFSET + 4], 'table' in register ? [value + 6, 10] : [value, 'segment' in register ? 16 : 8]);
  }
  return withoutNamed(context, named);
}

function readRegister(view: DataView, at: number, arch: GuestArch): VpRegister {
  const number = view.getUint32(at + NAME_OFFSET, true);
  const name = NAMES[arch].get(number);
  if (name === undefined) {
    throw new IgvmError('IGVM_UNSUPPORTED', `a VBS VP context has the unknown register ${hex(number)}`);
  }
  const value = at + VALUE_OFFSET;
  if (isOneOf(TABLE_REGISTERS, name)) {
    return { name, table: { limit: view.getUint16(value + 6, true), base: view.getBigUint64(value + 8, true) } };
  }
  if (isOneOf(SEGMENT_REGISTERS, name)) {
    const segment = {
      base: view.getBigUint64(value, true),
      limit: view.getUint32(value + 8, true),
      selector: view.getUint16(value + 12, true),
      attributes: view.getUint16(value + 14, true),
    };
    return { name, segment };
  }
  return { name, value: view.getBigUint64(value, true) };
}

const names = (arch: GuestArch): Map<number, VpRegisterName> =>
  new Map(Object.entries(VBS_REGISTER[arch]).map(([name, number]) => [number, name as VpRegisterName]));

const NAMES: Record<GuestArch, ReadonlyMap<number, VpRegisterName>> = { x64: names('x64'), aarch64: names('aarch64') };

function isOneOf<Name extends VpRegisterName>(list: readonly Name[], name: VpRegisterName): name is Name {
  return (list as readonly VpRegisterName[]).includes(name);
}

/** The VP context of Hyper-V guests: a list of registers with Hyper-V's names, in the order in which they are set. */
export class VbsContext implements VpContextBuilder {
  private readonly registers = new Map<VpRegisterName, VpRegister>();

  constructor(
    private readonly arch: GuestArch,
    /** The VTL that the registers are for. */
    private readonly vtl: number,
  ) {}

  canHold(name: VpRegisterName): boolean {
    return VBS_REGISTER[this.arch][name] !== undefined;
  }

  setRegister(register: VpRegister): void {
    const { name } = register;
    if (!this.canHold(name)) unreachable(`a VBS VP context for ${this.arch} has no place for ${name}`);
    if (this.registers.has(name)) unreachable(`${name} is set twice`);
    this.registers.set(name, register);
  }

  setContextPage(): void {
    unreachable('a VBS VP context takes no guest memory');
  }

  /** Without registers there is no context. */
  finish(): VpContextPart[] {
    if (this.registers.size === 0) return [];
    return [
      {
        kind: 'directive',
        directive: {
          type: 'vpContext',
          format: 'vbs',
          gpa: 0,
          compatibilityMask: 1,
          vpIndex: 0,
          data: this.serialize(),
        },
      },
    ];
  }

  /** The context as stored: header and registers, unpadded. Empty if no register was set. */
  serialize(): Uint8Array {
    if (this.registers.size === 0) return new Uint8Array(0);
    const view = new DataView(new ArrayBuffer(VBS_HEADER_SIZE + this.registers.size * VBS_REGISTER_SIZE));
    view.setUint32(0, this.registers.size, true);
    let at = VBS_HEADER_SIZE;
    for (const register of this.registers.values()) {
      this.writeRegister(view, at, register);
      at += VBS_REGISTER_SIZE;
    }
    return new Uint8Array(view.buffer);
  }

  private writeRegister(view: DataView, at: number, register: VpRegister): void {
    view.setUint8(at, this.vtl);
    view.setUint32(at + NAME_OFFSET, VBS_REGISTER[this.arch][register.name] ?? unreachable(register.name), true);
    const value = at + VALUE_OFFSET;
    if ('table' in register) {
      view.setUint16(value + 6, register.table.limit, true);
      view.setBigUint64(value + 8, register.table.base, true);
    } else if ('segment' in register) {
      const { base, limit, selector, attributes } = register.segment;
      view.setBigUint64(value, base, true);
      view.setUint32(value + 8, limit, true);
      view.setUint16(value + 12, selector, true);
      view.setUint16(value + 14, attributes, true);
    } else {
      view.setBigUint64(value, register.value, true);
    }
  }
}
