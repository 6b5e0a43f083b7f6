import { unreachable } from '../../errors/igvm-error';
import type { GuestArch, PageAcceptance, ParameterKind } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import type { ByteSource } from '../../memory/byte-source';
import type { VpRegister, VpRegisterName } from '../../vp-context/vp-register';
import type { ImageImporter, IsolationConfig, NestedImporter, RelocationRegion } from './importer';

/** A VBS context whose bytes go into a page of the guest. */
export interface NestedVpContext {
  canHold(name: VpRegisterName): boolean;
  setRegister(register: VpRegister): void;
  /** Header and registers, unpadded. */
  serialize(): Uint8Array;
}

/** How a paravisor's inner guest relocates: like the outer one, but in VTL0. */
export interface NestedRelocations {
  relocate(region: RelocationRegion): void;
  relocatePageTable(gpa: number, pageCount: number, usedPageCount: number, vpIndex: number): void;
}

/** A guest inside a paravisor: it shares the memory of the outer guest but has registers of its own. */
export class NestedGuest implements NestedImporter {
  readonly arch: GuestArch;
  readonly isolation: IsolationConfig;

  constructor(
    private readonly outer: ImageImporter,
    private readonly vpContext: NestedVpContext,
    private readonly relocations: NestedRelocations,
  ) {
    this.arch = outer.arch;
    this.isolation = outer.isolation;
  }

  takeVpContext(): Uint8Array {
    return this.vpContext.serialize();
  }

  canHoldRegister(name: VpRegisterName): boolean {
    return this.vpContext.canHold(name);
  }

  setRegister(register: VpRegister): void {
    this.vpContext.setRegister(register);
  }

  importPages(
    pageBase: number,
    pageCount: number,
    tag: string,
    acceptance: PageAcceptance,
    content: ByteSource | Uint8Array,
  ): void {
    this.outer.importPages(pageBase, pageCount, tag, acceptance, content);
  }

  createParameterArea(pageBase: number, pageCount: number, tag: string, initialData?: Uint8Array): number {
    return this.outer.createParameterArea(pageBase, pageCount, tag, initialData);
  }

  importParameter(areaIndex: number, byteOffset: number, kind: ParameterKind): void {
    this.outer.importParameter(areaIndex, byteOffset, kind);
  }

  requireMemory(pageBase: number, pageCount: number, options: { vtl2Protectable: boolean }): void {
    this.outer.requireMemory(pageBase, pageCount, options);
  }

  setVpContextPage(pageBase: number): void {
    this.outer.setVpContextPage(pageBase);
  }

  relocationRegion(region: RelocationRegion): void {
    this.relocations.relocate(region);
  }

  pageTableRelocation(pageTableGpa: number, pageCount: number, usedPageCount: number, vpIndex: number): void {
    this.relocations.relocatePageTable(pageTableGpa, pageCount, usedPageCount, vpIndex);
  }

  setImportedRegionsPage(pageBase: number): void {
    this.outer.setImportedRegionsPage(pageBase);
  }

  setExpectedPageHashesPage(pageBase: number): void {
    this.outer.setExpectedPageHashesPage(pageBase);
  }

  observe(observer: DirectiveObserver): void {
    this.outer.observe(observer);
  }

  endOfImports(): number {
    return this.outer.endOfImports();
  }

  freePages(pageLimit: number): { pageBase: number; pageCount: number }[] {
    return this.outer.freePages(pageLimit);
  }

  acceptAtBoot(): never {
    return unreachable('a paravisor has its guest accept memory');
  }

  note(text: string): void {
    this.outer.note(text);
  }

  detail(text: string): void {
    this.outer.detail(text);
  }

  /** A guest inside the inner one again has its own registers, and also relocates in VTL0. */
  nested(): NestedImporter {
    return this.outer.nested();
  }
}
