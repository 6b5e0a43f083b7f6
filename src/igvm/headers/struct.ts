import { IgvmError } from '../../errors/igvm-error';

/**
 * The format's structures as tables of fields. Encoding and decoding are both derived from them, so that they can't
 * disagree. All integers are little-endian and packed in the order of the table.
 */
export interface Struct<T> {
  /** Bytes. */
  readonly size: number;
  /** Byte offset of each named field, for code that reads one field of very many structures. */
  readonly offsets: { readonly [K in keyof T & string]: number };
  /** @throws IgvmError IGVM_MALFORMED when a reserved field isn't zero or a value can't be represented */
  read(view: DataView, at: number): T;
  /** @throws IgvmError IGVM_INVALID when a value doesn't fit its field */
  write(view: DataView, at: number, value: T): void;
}

/** One or several named values at a place in a structure. */
interface Field<T> {
  readonly size: number;
  readonly names: readonly (keyof T & string)[];
  read(view: DataView, at: number, into: Partial<T>): void;
  write(view: DataView, at: number, from: T): void;
}

type NamesOf<T, V> = { [K in keyof T]: T[K] extends V ? K : never }[keyof T] & string;

/** A structure of these fields, in this order. */
export function struct<T>(...fields: Field<T>[]): Struct<T> {
  let size = 0;
  const placed = fields.map((field) => {
    const offset = size;
    size += field.size;
    return { field, offset };
  });
  return {
    size,
    offsets: Object.fromEntries(placed.flatMap(({ field, offset }) => field.names.map((name) => [name, offset]))) as {
      [K in keyof T & string]: number;
    },
    read(view, at) {
      const into: Partial<T> = {};
      for (const { field, offset } of placed) field.read(view, at + offset, into);
      return into as T;
    },
    write(view, at, value) {
      for (const { field, offset } of placed) field.write(view, at + offset, value);
    },
  };
}

type Width = 1 | 2 | 4;

const GETTERS = { 1: 'getUint8', 2: 'getUint16', 4: 'getUint32' } as const;
const SETTERS = { 1: 'setUint8', 2: 'setUint16', 4: 'setUint32' } as const;

const tooLarge = (name: string, value: unknown, bits: number): IgvmError =>
  new IgvmError('IGVM_INVALID', `${name} ${String(value)} is not an unsigned number of ${bits} bits`);

function putUnsigned(view: DataView, at: number, width: Width, name: string, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width))) throw tooLarge(name, value, 8 * width);
  view[SETTERS[width]](at, value, true);
}

const unsigned =
  (width: Width) =>
  <T>(name: NamesOf<T, number>): Field<T> => ({
    size: width,
    names: [name],
    read: (view, at, into) => void Object.assign(into, { [name]: view[GETTERS[width]](at, true) }),
    write: (view, at, from) => putUnsigned(view, at, width, name, from[name] as number),
  });

/** An unsigned number of 8, 16 or 32 bits. */
export const u8 = unsigned(1);
export const u16 = unsigned(2);
export const u32 = unsigned(4);

/** An unsigned number of 64 bits whose bits have meanings: a policy, a boundary. */
export const u64 = <T>(name: NamesOf<T, bigint>): Field<T> => ({
  size: 8,
  names: [name],
  read: (view, at, into) => void Object.assign(into, { [name]: view.getBigUint64(at, true) }),
  write(view, at, from) {
    const value = from[name] as bigint;
    if (BigInt.asUintN(64, value) !== value) throw tooLarge(name, value, 64);
    view.setBigUint64(at, value, true);
  },
});

/** A GPA or a size in bytes: 64 bits in the file, below 2^53 here (no architecture addresses more than 2^52 bytes). */
export const address = <T>(name: NamesOf<T, number>): Field<T> => ({
  size: 8,
  names: [name],
  read: (view, at, into) => void Object.assign(into, { [name]: readAddress(view, at, name) }),
  write(view, at, from) {
    const value = from[name] as number;
    if (!(Number.isSafeInteger(value) && value >= 0)) throw tooLarge(name, value, 53);
    view.setUint32(at, value % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  },
});

/** @throws IgvmError IGVM_MALFORMED at 2^53 and above */
export function readAddress(view: DataView, at: number, name: string): number {
  const high = view.getUint32(at + 4, true);
  if (high >= 2 ** 21) {
    const value = view.getBigUint64(at, true);
    throw new IgvmError('IGVM_MALFORMED', `${name} 0x${value.toString(16)} is beyond every address space`);
  }
  return high * 2 ** 32 + view.getUint32(at, true);
}

/** A number that is 0 or 1. */
export const bool8 = <T>(name: NamesOf<T, boolean>): Field<T> => ({
  size: 1,
  names: [name],
  read(view, at, into) {
    const value = view.getUint8(at);
    if (value > 1) throw new IgvmError('IGVM_MALFORMED', `${name} is ${value}, neither 0 nor 1`);
    Object.assign(into, { [name]: value === 1 });
  },
  write: (view, at, from) => view.setUint8(at, from[name] ? 1 : 0),
});

/** Flags from bit 0 on; the bits above are reserved. */
export const flags = <T>(width: Width, ...names: NamesOf<T, boolean>[]): Field<T> => ({
  size: width,
  names,
  read(view, at, into) {
    const value = view[GETTERS[width]](at, true);
    if (value >= 2 ** names.length) {
      throw new IgvmError('IGVM_MALFORMED', `reserved bits of the flags 0x${value.toString(16)} are not zero`);
    }
    names.forEach((name, bit) => Object.assign(into, { [name]: (value & (1 << bit)) !== 0 }));
  },
  write: (view, at, from) =>
    view[SETTERS[width]](
      at,
      names.reduce((value, name, bit) => value | (from[name] ? 1 << bit : 0), 0),
      true,
    ),
});

/** Bytes of a fixed number. */
export const bytes = <T>(name: NamesOf<T, Uint8Array>, size: number): Field<T> => ({
  size,
  names: [name],
  read: (view, at, into) =>
    void Object.assign(into, { [name]: new Uint8Array(view.buffer, view.byteOffset + at, size).slice() }),
  write(view, at, from) {
    const value = from[name] as Uint8Array;
    if (value.length !== size) {
      throw new IgvmError('IGVM_INVALID', `${name} has ${value.length} bytes instead of ${size}`);
    }
    new Uint8Array(view.buffer, view.byteOffset + at, size).set(value);
  },
});

/** A structure within the structure. */
export const nested = <T, K extends keyof T & string>(name: K, of: Struct<T[K]>): Field<T> => ({
  size: of.size,
  names: [name],
  read: (view, at, into) => void Object.assign(into, { [name]: of.read(view, at) }),
  write: (view, at, from) => of.write(view, at, from[name]),
});

/** Bytes that must be zero. */
export const reserved = <T>(size: number): Field<T> => ({
  size,
  names: [],
  read(view, at) {
    for (let index = 0; index < size; index++) {
      if (view.getUint8(at + index) !== 0) throw new IgvmError('IGVM_MALFORMED', 'a reserved field is not zero');
    }
  },
  write(view, at) {
    for (let index = 0; index < size; index++) view.setUint8(at + index, 0);
  },
});
