import { StructWriter } from '../../../memory/struct-writer';
import { IO_APIC_BASE, LOCAL_APIC_BASE, acpiTable } from './tables';

/**
 * The part of ACPI Machine Language that a list of devices needs (ACPI specification 6.5, chapter 20). A term is its
 * bytes; names are ASL's, segments of up to four characters separated by dots.
 */
type AmlTerm = Uint8Array;

const OP = {
  ONE: 0x01,
  NAME: 0x08,
  BYTE: 0x0a,
  WORD: 0x0b,
  DWORD: 0x0c,
  STRING: 0x0d,
  BUFFER: 0x11,
  PACKAGE: 0x12,
  METHOD: 0x14,
  DUAL_NAME: 0x2e,
  MULTI_NAME: 0x2f,
  EXTENDED: 0x5b,
  DEVICE: 0x82,
  RETURN: 0xa4,
} as const;

const join = (...terms: readonly (AmlTerm | readonly number[])[]): AmlTerm => {
  const all = new StructWriter();
  for (const term of terms) all.raw(term instanceof Uint8Array ? term : Uint8Array.from(term));
  return all.finish();
};

/** NameString: each segment padded with underscores; several have a prefix. */
function nameString(name: string): AmlTerm {
  const rooted = name.startsWith('\\');
  const segments = (rooted ? name.slice(1) : name).split('.');
  const encoded = new StructWriter();
  if (rooted) encoded.ascii('\\');
  if (segments.length === 2) encoded.u8(OP.DUAL_NAME);
  if (segments.length > 2) encoded.u8(OP.MULTI_NAME, segments.length);
  for (const segment of segments) encoded.ascii(segment.padEnd(4, '_'));
  return encoded.finish();
}

/**
 * PkgLength of the following bytes, which includes its own size. One byte up to a total of 63; otherwise the first byte
 * holds the low four bits and the number of further bytes.
 */
function packageLength(length: number): number[] {
  if (length < 63) return [length + 1];
  const further = length + 2 < 2 ** 12 ? 1 : length + 3 < 2 ** 20 ? 2 : 3;
  const total = length + 1 + further;
  const bytes = [(further << 6) | (total & 0xf)];
  for (let index = 0; index < further; index++) bytes.push((total >>> (4 + 8 * index)) & 0xff);
  return bytes;
}

const withLength = (content: AmlTerm): AmlTerm => join(packageLength(content.length), content);

/** The shortest constant that holds an unsigned number below 2^32. */
export function integer(value: number): AmlTerm {
  if (value <= OP.ONE) return Uint8Array.of(value);
  if (value <= 0xff) return new StructWriter().u8(OP.BYTE, value).finish();
  if (value <= 0xffff) return new StructWriter().u8(OP.WORD).u16(value).finish();
  return new StructWriter().u8(OP.DWORD).u32(value).finish();
}

export const string = (text: string): AmlTerm => new StructWriter().u8(OP.STRING).ascii(text).u8(0).finish();

/** Compressed EISA ID, for example "PNP0501": three letters of five bits each, four hexadecimal digits, big-endian. */
export function eisaId(id: string): AmlTerm {
  const [a, b, c] = [0, 1, 2].map((index) => id.charCodeAt(index) - 0x40) as [number, number, number];
  const bytes = Uint8Array.of(
    (a << 2) | (b >> 3),
    ((b & 7) << 5) | c,
    parseInt(id.slice(3, 5), 16),
    parseInt(id.slice(5), 16),
  );
  return integer(new DataView(bytes.buffer).getUint32(0, true));
}

/** Package of constants that take one byte each (0 and 1). */
export const packageOf = (...elements: (0 | 1)[]): AmlTerm =>
  join([OP.PACKAGE], withLength(Uint8Array.of(elements.length, ...elements)));

/** Name(name, value). */
export const named = (name: string, value: AmlTerm): AmlTerm => join([OP.NAME], nameString(name), value);

/** Method(name, 0) { Return(value) }. */
export const methodReturning = (name: string, value: AmlTerm): AmlTerm =>
  join([OP.METHOD], withLength(join(nameString(name), [0, OP.RETURN], value)));

/** Device(name) { … }. */
export const device = (name: string, ...objects: AmlTerm[]): AmlTerm =>
  join([OP.EXTENDED, OP.DEVICE], withLength(join(nameString(name), ...objects)));

/** Name(_CRS, ResourceTemplate() { … }), with the descriptors below. */
export function currentResources(...descriptors: AmlTerm[]): AmlTerm {
  const END_TAG = [0x79, 0];
  const template = join(...descriptors, END_TAG);
  return named('_CRS', join([OP.BUFFER], withLength(join(integer(template.length), template))));
}

/** Memory32Fixed(ReadWrite, base, length) (ACPI 6.4.3.4). */
export const memory32Fixed = (base: number, length: number): AmlTerm =>
  new StructWriter().u8(0x86, 9, 0, 1).u32(base, length).finish();

/** IO(Decode16, base, base, alignment, length) (ACPI 6.4.2.5). */
export const ioPort = (base: number, alignment: number, length: number): AmlTerm =>
  new StructWriter().u8(0x47, 1).u16(base, base).u8(alignment, length).finish();

/** Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) {number} (ACPI 6.4.3.6). */
export const edgeInterrupt = (number: number): AmlTerm => new StructWriter().u8(0x89, 6, 0, 3, 1).u32(number).finish();

const OEM = {
  id: 'MSFTVM',
  tableId: 'DSDT01\0\0',
  revision: 1,
  creatorId: 'MSFT',
  creatorRevision: 0x5000000,
};

/** Devices of OpenVMM's PC-compatible chipset (openvmm vm/acpi/src/dsdt.rs), and the sleep states it knows. */
const CHIPSET: readonly AmlTerm[] = [
  named('\\_S0', packageOf(0, 0)),
  named('\\_S5', packageOf(0, 0)),
  device(
    '\\_SB.APIC',
    named('_HID', eisaId('PNP0003')),
    currentResources(memory32Fixed(LOCAL_APIC_BASE, 0x1000), memory32Fixed(IO_APIC_BASE, 0x1000)),
  ),
  device(
    '\\_SB.UAR1',
    named('_HID', eisaId('PNP0501')),
    named('_DDN', string('COM1')),
    named('_UID', integer(1)),
    currentResources(ioPort(0x3f8, 1, 8), edgeInterrupt(4)),
  ),
  device(
    '\\_SB.RTC0',
    named('_HID', eisaId('PNP0B00')),
    named('_UID', integer(0)),
    currentResources(ioPort(0x70, 0, 2), edgeInterrupt(8)),
  ),
];

/** Most processors with distinct names: the first letter counts thousands, from P to Z. */
export const PROCESSOR_NAME_LIMIT = ('Z'.charCodeAt(0) - 'P'.charCodeAt(0) + 1) * 1000 - 1;

/** "P001" for the first processor; "Q000" follows "P999". */
function processorName(uid: number): string {
  const letter = String.fromCharCode('P'.charCodeAt(0) + Math.floor(uid / 1000));
  return letter + String(uid % 1000).padStart(3, '0');
}

/** Device(P001) { Name(_HID, "ACPI0007") Name(_UID, 1) Method(_STA, 0) { Return(0xF) } }: present and working. */
const processor = (uid: number): AmlTerm =>
  device(
    processorName(uid),
    named('_HID', string('ACPI0007')),
    named('_UID', integer(uid)),
    methodReturning('_STA', integer(0xf)),
  );

/**
 * The differentiated system description table: the chipset's devices and `processorCount` processors.
 * @param processorCount at most {@link PROCESSOR_NAME_LIMIT}
 */
export function dsdt(processorCount: number): Uint8Array {
  const processors = Array.from({ length: processorCount }, (_, index) => processor(index + 1));
  return acpiTable({ signature: 'DSDT', revision: 2, oem: OEM }, ...CHIPSET, ...processors);
}
