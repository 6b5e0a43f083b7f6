import type { ByteSource } from '../../memory/byte-source';
import type { GuestArch, PageAcceptance, ParameterKind } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import type { IsolationName } from '../../igvm/platforms';
import type { VpRegister, VpRegisterName } from '../../vp-context/vp-register';

/** The guest's isolation, as far as loaders need it (importer.rs: IsolationConfig). */
export interface IsolationConfig {
  type: IsolationName;
  /** Whether a paravisor runs in VTL2. */
  paravisorPresent: boolean;
  /** Address bit of the shared GPA boundary, when there is one. TDX always has 47. */
  sharedGpaBoundaryBits?: number;
}

/** A region that the host may move as a whole; addresses and sizes in bytes. */
export interface RelocationRegion {
  gpa: number;
  size: number;
  alignment: number;
  minimumGpa: number;
  maximumGpa: number;
  applyPc: boolean;
  applyGdtr: boolean;
  vpIndex: number;
}

/**
 * The interface through which a loader lays out a guest. GuestBuilder implements it; loaders know nothing else about
 * the file. All `pageBase` are page numbers (GPA / 4096). Everything that uses memory fails with LAYOUT_OVERLAP if the
 * memory is in use. An IgvmError of a loader has a JSON path from the guest's configuration, such as
 * `image.linux.memory_size`.
 */
export interface ImageImporter {
  readonly arch: GuestArch;
  readonly isolation: IsolationConfig;

  /**
   * Imports pages. Pages after the end of `content` are empty.
   * @param tag name of the range in the map file, upstream's spelling
   */
  importPages(
    pageBase: number,
    pageCount: number,
    tag: string,
    acceptance: PageAcceptance,
    content: ByteSource | Uint8Array,
  ): void;

  /** Reserves pages for a parameter area; returns its index. */
  createParameterArea(pageBase: number, pageCount: number, tag: string, initialData?: Uint8Array): number;

  /** Makes the VMM write a parameter at `byteOffset` of an area. */
  importParameter(areaIndex: number, byteOffset: number, kind: ParameterKind): void;

  /** Whether the VP context of this guest has a place for the register. */
  canHoldRegister(name: VpRegisterName): boolean;

  /** Only what {@link canHoldRegister} allows. */
  setRegister(register: VpRegister): void;

  /** Emits a RequiredMemory directive for the range. */
  requireMemory(pageBase: number, pageCount: number, options: { vtl2Protectable: boolean }): void;

  /** End of the highest page that was imported so far, in bytes. */
  endOfImports(): number;

  /** The unused ranges among the guest's first `pageLimit` pages, by ascending address. */
  freePages(pageLimit: number): { pageBase: number; pageCount: number }[];

  /**
   * Leaves the unused memory of a guest with fixed RAM to code in the guest, which accepts it at boot.
   * @param tag name of the ranges in the map file
   */
  acceptAtBoot(ranges: readonly { pageBase: number; pageCount: number }[], tag: string): void;

  /** Where the VP context may put its page (SNP VMSA, TDX). */
  setVpContextPage(pageBase: number): void;

  relocationRegion(region: RelocationRegion): void;

  pageTableRelocation(pageTableGpa: number, pageCount: number, usedPageCount: number, vpIndex: number): void;

  /** OpenHCL: the page that receives the list of imported regions, filled when the guest is finished. */
  setImportedRegionsPage(pageBase: number): void;

  /** OpenHCL: the region that receives a hash of every shared page. */
  setExpectedPageHashesPage(pageBase: number): void;

  /**
   * Calls the observer with this guest's directives while the file is written, for contents that depend on pages
   * imported earlier (an initrd's CRC32). The content's `ready` settles after all earlier runs have been observed.
   */
  observe(observer: DirectiveObserver): void;

  /** Reports something about the image to the user, in one sentence. */
  note(text: string): void;

  /** Like {@link note}, for details that are shown only on request. */
  detail(text: string): void;

  /**
   * An importer for an inner image (the VTL0 guest of a paravisor): pages go into the same guest, registers into a VBS
   * context of their own, which `takeVpContext` returns as the bytes of a page's beginning.
   */
  nested(): NestedImporter;
}

/** See {@link ImageImporter.nested}. */
export interface NestedImporter extends ImageImporter {
  /** The VBS context of the registers set so far: header and registers, unpadded. Empty when none were set. */
  takeVpContext(): Uint8Array;
}
