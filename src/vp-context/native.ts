import { hex } from '../errors/printable';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { PAGE_CONTEXT_SIZE } from '../igvm/platforms';
import {
  RFLAGS_FIXED,
  type SegmentRegister,
  type SegmentRegisterName,
  type TableRegister,
  type VpContextBuilder,
  type VpContextPart,
  type VpRegister,
  type VpRegisterName,
  withoutNamed,
} from './vp-register';

/** Offsets of the 64-bit fields (igvm_defs: IgvmNativeVpContextX64). */
const VALUE_OFFSETS = {
  rax: 0,
  rcx: 8,
  rdx: 16,
  rbx: 24,
  rsp: 32,
  rbp: 40,
  rsi: 48,
  rdi: 56,
  r8: 64,
  r9: 72,
  r10: 80,
  r11: 88,
  r12: 96,
  r13: 104,
  r14: 112,
  r15: 120,
  rip: 128,
  rflags: 136,
  gsBase: 192,
  cr0: 200,
  cr3: 208,
  cr4: 216,
  efer: 224,
} as const;

type NativeValueName = keyof typeof VALUE_OFFSETS;

const TABLE_OFFSETS = { idtr: { base: 144, limit: 152 }, gdtr: { base: 160, limit: 158 } } as const;

/** Offsets of twelve bytes each: selector and attributes (u16), base and limit (u32). */
const SEGMENT_OFFSETS = { code: 168, data: 180 } as const;

/** The registers that share the data segment's fields. */
const DATA_SEGMENTS: readonly VpRegisterName[] = ['ds', 'es', 'fs', 'gs', 'ss'];

/** In a descriptor, these bits of the attributes hold upper bits of the limit; in the context they must be zero. */
const ATTRIBUTES_MUST_BE_ZERO = 0x0f00;

/** The fields of a native context. */
export type NativeContextFields = Record<NativeValueName, bigint> & {
  idtr: TableRegister;
  gdtr: TableRegister;
  code: SegmentRegister;
  /** DS, ES, FS, GS and SS; the base of GS is in `gsBase`. */
  data: SegmentRegister;
};

/**
 * The fields of a native context as stored in a file.
 * @param context 4096 bytes
 * @throws IgvmError IGVM_MALFORMED when there are fewer or more
 */
export function decodeNativeContext(context: Uint8Array): NativeContextFields {
  if (context.length !== PAGE_CONTEXT_SIZE) {
    throw new IgvmError(
      'IGVM_MALFORMED',
      `a native VP context has ${PAGE_CONTEXT_SIZE} bytes, but this one has ${context.length}`,
    );
  }
  const view = new DataView(context.buffer, context.byteOffset, context.length);
  const table = ({ base, limit }: { base: number; limit: number }): TableRegister => ({
    base: view.getBigUint64(base, true),
    limit: view.getUint16(limit, true),
  });
  const segment = (at: number): SegmentRegister => ({
    selector: view.getUint16(at, true),
    attributes: view.getUint16(at + 2, true),
    base: BigInt(view.getUint32(at + 4, true)),
    limit: view.getUint32(at + 8, true),
  });
  const values = Object.fromEntries(
    Object.entries(VALUE_OFFSETS).map(([name, offset]) => [name, view.getBigUint64(offset, true)]),
  ) as Record<NativeValueName, bigint>;
  return {
    ...values,
    idtr: table(TABLE_OFFSETS.idtr),
    gdtr: table(TABLE_OFFSETS.gdtr),
    code: segment(SEGMENT_OFFSETS.code),
    data: segment(SEGMENT_OFFSETS.data),
  };
}

/** The bytes of a native context that are not part of {@link NativeContextFields}; zeros in place of the others. */
export const unnamedInNative = (context: Uint8Array): Uint8Array =>
  withoutNamed(context, [
    ...Object.values(VALUE_OFFSETS).map((offset) => [offset, 8] as const),
    ...Object.values(TABLE_OFFSETS).flatMap(({ base, limit }) => [[base, 8] as const, [limit, 2] as const]),
    ...Object.values(SEGMENT_OFFSETS).map((offset) => [offset, 12] as const),
  ]);

/**
 * The VP context of NATIVE guests: one page of fixed fields that any VMM can load. It has neither PAT nor MTRRs, and
 * one set of fields for all data segments.
 */
export class NativeContext implements VpContextBuilder {
  private readonly bytes = new Uint8Array(PAGE_CONTEXT_SIZE);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly set = new Set<VpRegisterName>();
  /** The data segment's fields other than the base, and the register that set them. */
  private data: { by: SegmentRegisterName; segment: SegmentRegister } | undefined;
  private dataBase: { by: SegmentRegisterName; base: bigint } | undefined;

  constructor() {
    this.view.setBigUint64(VALUE_OFFSETS.rflags, RFLAGS_FIXED, true);
  }

  canHold(name: VpRegisterName): boolean {
    return name in VALUE_OFFSETS || name in TABLE_OFFSETS || name === 'cs' || DATA_SEGMENTS.includes(name);
  }

  setRegister(register: VpRegister): void {
    const { name } = register;
    if (!this.canHold(name)) unreachable(`a native VP context has no place for ${name}`);
    if (this.set.has(name)) unreachable(`${name} is set twice`);
    this.set.add(name);
    if ('table' in register) {
      const offsets = TABLE_OFFSETS[register.name];
      this.view.setBigUint64(offsets.base, register.table.base, true);
      this.view.setUint16(offsets.limit, register.table.limit, true);
    } else if ('segment' in register) {
      this.setSegment(register.name, register.segment);
    } else {
      this.view.setBigUint64(VALUE_OFFSETS[register.name as NativeValueName], register.value, true);
    }
  }

  setContextPage(): void {
    unreachable('a native VP context takes no guest memory');
  }

  finish(): VpContextPart[] {
    return [
      {
        kind: 'directive',
        directive: {
          type: 'vpContext',
          format: 'native',
          gpa: 0,
          compatibilityMask: 1,
          vpIndex: 0,
          data: this.bytes,
        },
      },
    ];
  }

  private setSegment(name: SegmentRegisterName, segment: SegmentRegister): void {
    if ((segment.attributes & ATTRIBUTES_MUST_BE_ZERO) !== 0) {
      unreachable(
        `a native VP context cannot hold ${name}'s attributes ${hex(segment.attributes)}: bits 8 to 11 must be 0`,
      );
    }
    if (name !== 'gs' && segment.base > 0xffff_ffffn) {
      unreachable(`a native VP context cannot hold ${name}'s base ${hex(segment.base)} in its 32 bits`);
    }
    if (name === 'cs') {
      this.writeSegment(SEGMENT_OFFSETS.code, segment);
      this.view.setUint32(SEGMENT_OFFSETS.code + 4, Number(segment.base), true);
      return;
    }
    const { data, dataBase } = this;
    if (data !== undefined && !sameButBase(data.segment, segment)) {
      unreachable(
        `a native VP context has one set of fields for all data segments, but ${name} differs from ${data.by}`,
      );
    }
    if (data === undefined) {
      this.data = { by: name, segment };
      this.writeSegment(SEGMENT_OFFSETS.data, segment);
    }
    if (name === 'gs') {
      this.view.setBigUint64(VALUE_OFFSETS.gsBase, segment.base, true);
      return;
    }
    if (dataBase !== undefined && dataBase.base !== segment.base) {
      unreachable(
        `a native VP context has one base for DS, ES, FS and SS, but ${name}'s differs from ${dataBase.by}'s`,
      );
    }
    this.dataBase = { by: name, base: segment.base };
    this.view.setUint32(SEGMENT_OFFSETS.data + 4, Number(segment.base), true);
  }

  /** All fields except the base. */
  private writeSegment(at: number, segment: SegmentRegister): void {
    this.view.setUint16(at, segment.selector, true);
    this.view.setUint16(at + 2, segment.attributes, true);
    this.view.setUint32(at + 8, segment.limit, true);
  }
}

function sameButBase(a: SegmentRegister, b: SegmentRegister): boolean {
  return a.selector === b.selector && a.attributes === b.attributes && a.limit === b.limit;
}
