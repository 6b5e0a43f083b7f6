import { IO_APIC_BASE, LOCAL_APIC_BASE } from './acpi/processor-tables';
import { StructWriter } from '../../memory/struct-writer';

/** Fields of MP 1.4 structures (Intel MultiProcessor Specification 1.4, chapter 4). */
const ENTRY = { processor: 0, bus: 1, ioApic: 2, ioInterrupt: 3, localInterrupt: 4 } as const;
const INTERRUPT = { vectored: 0, nmi: 1, extInt: 3 } as const;
const PROCESSOR_ENABLED = 1;
const PROCESSOR_IS_BSP = 2;
const APIC_VERSION = 0x14;
/** Version of the I/O APIC that PCs emulate. */
const IO_APIC_VERSION = 0x11;
/** Family 6, as any processor with 64 bits says; Linux reads only the features: FPU and APIC on chip. */
const CPU_SIGNATURE = 0x600;
const CPU_FEATURES = 0x201;
const ALL_LOCAL_APICS = 255;

/** Where Linux looks for the floating pointer in a PC without EBDA: the last KiB of 640 KiB. GPA. */
export const MP_FLOATING_POINTER_GPA = 0x9fc00;
export const MP_FLOATING_POINTER_SIZE = 16;
export const MP_SIGNATURE = '_MP_';

/** The configuration table: a header, then entries, those of processors first. Bytes. */
export const MP_HEADER_SIZE = 44;
export const MP_LENGTH_OFFSET = 4;
export const MP_PROCESSOR_SIZE = 20;
export const MP_PROCESSOR_TYPE = ENTRY.processor;

/** Offsets that a fix-up of the table needs: the checksum, and a processor entry's flags. */
export const MP_CHECKSUM_OFFSET = 7;
export const MP_FIRST_FLAGS_OFFSET = MP_HEADER_SIZE + 3;

/** Legacy interrupts. QEMU and KVM wire the timer, 0, to the I/O APIC's pin 2; 2 is the PIC's cascade and has no pin. */
const ISA_INTERRUPTS = 16;
const TIMER = 0;
const TIMER_PIN = 2;

/**
 * An MP configuration table for processors with the APIC IDs 0 to `processorCount` - 1, the first of which boots, one
 * I/O APIC and the legacy interrupts. For guests to which nobody gives ACPI.
 */
export function mpConfigurationTable(processorCount: number): Uint8Array {
  const ioApicId = processorCount;
  const entries = new StructWriter();
  let count = 0;
  const entry = (type: number): StructWriter => {
    count++;
    return entries.u8(type);
  };
  for (let id = 0; id < processorCount; id++) {
    const flags = PROCESSOR_ENABLED | (id === 0 ? PROCESSOR_IS_BSP : 0);
    entry(ENTRY.processor).u8(id, APIC_VERSION, flags).u32(CPU_SIGNATURE, CPU_FEATURES).zeros(8);
  }
  entry(ENTRY.bus).u8(0).ascii('ISA   ');
  entry(ENTRY.ioApic).u8(ioApicId, IO_APIC_VERSION, 1).u32(IO_APIC_BASE);
  for (let irq = 0; irq < ISA_INTERRUPTS; irq++) {
    const pin = irq === TIMER ? TIMER_PIN : irq;
    if (irq !== TIMER && pin === TIMER_PIN) continue;
    entry(ENTRY.ioInterrupt).u8(INTERRUPT.vectored).u16(0).u8(0, irq, ioApicId, pin);
  }
  entry(ENTRY.localInterrupt).u8(INTERRUPT.extInt).u16(0).u8(0, 0, 0, 0);
  entry(ENTRY.localInterrupt).u8(INTERRUPT.nmi).u16(0).u8(0, 0, ALL_LOCAL_APICS, 1);

  const table = new StructWriter()
    .ascii('PCMP')
    .u16(MP_HEADER_SIZE + entries.length)
    .u8(4, 0)
    .ascii('IGVM    ')
    .ascii('NATIVE      ')
    .u32(0)
    .u16(0, count)
    .u32(LOCAL_APIC_BASE)
    .u16(0)
    .u8(0, 0)
    .raw(entries.finish())
    .finish();
  return withChecksum(table, MP_CHECKSUM_OFFSET);
}

/** The structure by which a kernel finds the table at `tableGpa`: in the last KiB of low memory, at a multiple of 16. */
export function mpFloatingPointer(tableGpa: number): Uint8Array {
  const pointer = new StructWriter().ascii(MP_SIGNATURE).u32(tableGpa).u8(1, 4, 0).zeros(5).finish();
  return withChecksum(pointer, 10);
}

/** Sets the byte at `offset` so that all bytes add up to 0. */
function withChecksum(bytes: Uint8Array, offset: number): Uint8Array {
  bytes[offset] = 0;
  bytes[offset] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}
