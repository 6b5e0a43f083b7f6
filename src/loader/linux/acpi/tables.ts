import { StructWriter } from '../../../memory/struct-writer';

/** The interrupt controllers of PCs, as QEMU, KVM and Hyper-V emulate them. GPAs. */
export const LOCAL_APIC_BASE = 0xfee00000;
export const IO_APIC_BASE = 0xfec00000;

/** The creator of a table (ACPI specification 5.2.6). */
export interface AcpiOem {
  /** 6, 8 and 4 characters. */
  id: string;
  tableId: string;
  revision: number;
  creatorId: string;
  creatorRevision: number;
}

/** OpenVMM's name in the tables that it builds (openvmm vmm_core/src/acpi_builder.rs: OEM_INFO). */
const OPENVMM_OEM: AcpiOem = {
  id: 'HVLITE',
  tableId: 'HVLITETB',
  revision: 0,
  creatorId: 'MSHV',
  creatorRevision: 0,
};

const HEADER_SIZE = 36;
const CHECKSUM_OFFSET = 9;

/** The byte that makes the sum of all bytes 0. */
const checksum = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;

/** A table: the header that all have in common (ACPI 5.2.6), with length and checksum, then `parts`. */
export function acpiTable(
  header: { signature: string; revision: number; oem?: AcpiOem },
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const oem = header.oem ?? OPENVMM_OEM;
  const length = parts.reduce((sum, part) => sum + part.length, HEADER_SIZE);
  const table = new StructWriter()
    .ascii(header.signature)
    .u32(length)
    .u8(header.revision, 0)
    .ascii(oem.id)
    .ascii(oem.tableId)
    .u32(oem.revision)
    .ascii(oem.creatorId)
    .u32(oem.creatorRevision);
  for (const part of parts) table.raw(part);
  const bytes = table.finish();
  bytes[CHECKSUM_OFFSET] = checksum(bytes);
  return bytes;
}

/** Tables one after the other in guest memory, each at a multiple of 8, followed by an XSDT that lists them. */
export class AcpiTableSet {
  private readonly bytes = new StructWriter();
  private readonly listed: number[] = [];

  /** @param gpa where the first table will lie */
  constructor(
    private readonly gpa: number,
    private readonly oem: AcpiOem = OPENVMM_OEM,
  ) {}

  /** Adds a table and returns its GPA. The DSDT is not listed: the FADT points to it. */
  add(table: Uint8Array, { listed = true } = {}): number {
    const gpa = this.gpa + this.bytes.length;
    this.bytes.raw(table).zeros(-table.length & 7);
    if (listed) this.listed.push(gpa);
    return gpa;
  }

  /** The tables, and the RSDP (ACPI 5.2.5.3) through which a guest finds their XSDT. */
  finish(): { rsdp: Uint8Array; tables: Uint8Array } {
    const xsdt = this.add(
      acpiTable({ signature: 'XSDT', revision: 1, oem: this.oem }, new StructWriter().u64(...this.listed).finish()),
      { listed: false },
    );
    return { rsdp: rsdp(xsdt, this.oem), tables: this.bytes.finish() };
  }
}

/** With two checksums: one over the part that ACPI 1.0 defined, one over everything. */
function rsdp(xsdt: number, oem: AcpiOem): Uint8Array {
  const ACPI_1 = { size: 20, checksum: 8 };
  const ACPI_2 = { size: 36, revision: 2, checksum: 32 };
  const bytes = new StructWriter()
    .ascii('RSD PTR ')
    .u8(0)
    .ascii(oem.id)
    .u8(ACPI_2.revision)
    .u32(0, ACPI_2.size)
    .u64(xsdt)
    .zeros(4)
    .finish();
  bytes[ACPI_1.checksum] = checksum(bytes.subarray(0, ACPI_1.size));
  bytes[ACPI_2.checksum] = checksum(bytes);
  return bytes;
}
