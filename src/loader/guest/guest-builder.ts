import { IgvmError, unreachable } from '../../errors/igvm-error';
import {
  ACCEPTANCE_HEADER,
  type Directive,
  type GuestArch,
  type IgvmFile,
  type InitializationHeader,
  type PageAcceptance,
  type PageDataDirective,
  type ParameterKind,
  type VpContextDirective,
} from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import { type ByteSource, bytesSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { PAGE_SIZE, REQUIRED_MEMORY_LIMIT } from '../../memory/page';
import { VMSA_SIZE } from '../../vp-context/vmsa';
import type { VpRegister, VpRegisterName } from '../../vp-context/vp-register';
import { AcceptedRanges, RelocationRegions, type MapFile } from './layout';
import { type FixedRam, type GuestIsolation, type GuestPlatform, TDX_SHARED_GPA_BOUNDARY_BITS } from './guest-platform';
import type { ImageImporter, IsolationConfig, NestedImporter, RelocationRegion } from './importer';
import { NestedGuest } from './nested-guest';

/** One guest after layout. Its compatibility mask is 1 until guests are merged. */
export interface BuiltGuest {
  file: IgvmFile;
  map: MapFile;
  /** Observers that need this guest's directives while they are streamed, as contents of the file depend on them. */
  observers: DirectiveObserver[];
  /** What the user should know about the image, one sentence each. */
  notes: string[];
  /** Further details, shown only on request. */
  details: string[];
}

/** Compatibility mask of a guest that is alone in its file. */
const SINGLE_GUEST_MASK = 1;

/** The option that sets the size of a guest's fixed RAM. */
const FIXED_RAM = { jsonPath: ['image', 'snp_linux_direct', 'memory_page_count'] };

/**
 * Turns a loader's calls into one guest of an IGVM file, in the reference's order of directives (file_loader.rs):
 * imports in the order of the calls, the VP context, parameter inserts by address, and page data last.
 */
export class GuestBuilder implements ImageImporter {
  readonly arch: GuestArch;
  readonly isolation: IsolationConfig;
  private readonly ranges = new AcceptedRanges();
  private readonly relocations = new RelocationRegions();
  private readonly initializations: InitializationHeader[];
  private readonly directives: Directive[] = [];
  private readonly pageData: PageDataDirective[] = [];
  private readonly parameterAreas: { pageBase: number; index: number }[] = [];
  private readonly requiredMemory: { gpa: number; size: number; vtl2Protectable: boolean }[] = [];
  private readonly observers: DirectiveObserver[] = [];
  private readonly notes: string[] = [];
  private readonly details: string[] = [];
  private hasRegisters = false;
  private reportedRanges: MapFile['reportedRanges'];
  private importedRegionsPage: number | undefined;
  private expectedPageHashesPage: number | undefined;
  private readonly guestIsolation: GuestIsolation;
  private readonly fixedRam: FixedRam | undefined;

  constructor(private readonly platform: GuestPlatform) {
    const { arch, isolation, header } = platform;
    this.arch = arch;
    this.guestIsolation = isolation;
    this.fixedRam = platform.fixedRam;
    this.isolation = {
      type: isolation.type,
      paravisorPresent: header.highestVtl === 2,
      sharedGpaBoundaryBits:
        isolation.type === 'tdx'
          ? TDX_SHARED_GPA_BOUNDARY_BITS
          : isolation.type === 'snp'
            ? isolation.sharedGpaBoundaryBits
            : undefined,
    };
    this.initializations =
      platform.policy === undefined
        ? []
        : [{ type: 'guestPolicy', policy: platform.policy, compatibilityMask: SINGLE_GUEST_MASK }];
  }

  importPages(
    pageBase: number,
    pageCount: number,
    tag: string,
    acceptance: PageAcceptance,
    content: ByteSource | Uint8Array,
  ): void {
    this.ranges.accept({ pageBase, pageCount, tag, acceptance });
    const source = content instanceof Uint8Array ? bytesSource(content) : content;
    if (source.size > pageCount * PAGE_SIZE) unreachable(`${tag} has more data than its ${pageCount} pages hold`);
    if (acceptance === 'vpContext') {
      this.directives.push(this.vmsaDirective(pageBase, pageCount, source));
      return;
    }
    this.pageData.push({
      type: 'pageData',
      gpa: pageBase * PAGE_SIZE,
      pageCount,
      ...ACCEPTANCE_HEADER[acceptance],
      compatibilityMask: SINGLE_GUEST_MASK,
      content: source.size === 0 ? EMPTY_SOURCE : source,
    });
  }

  createParameterArea(pageBase: number, pageCount: number, tag: string, initialData?: Uint8Array): number {
    this.ranges.accept({ pageBase, pageCount, tag, acceptance: 'exclusiveUnmeasured' });
    const index = this.parameterAreas.length;
    this.parameterAreas.push({ pageBase, index });
    this.directives.push({
      type: 'parameterArea',
      size: pageCount * PAGE_SIZE,
      index,
      initialData: initialData === undefined ? EMPTY_SOURCE : bytesSource(initialData),
    });
    return index;
  }

  importParameter(areaIndex: number, byteOffset: number, kind: ParameterKind): void {
    if (this.parameterAreas[areaIndex] === undefined) unreachable(`there is no parameter area ${areaIndex}`);
    this.directives.push({ type: 'parameter', kind, index: areaIndex, byteOffset });
  }

  canHoldRegister(name: VpRegisterName): boolean {
    return this.platform.vpContext.canHold(name);
  }

  setRegister(register: VpRegister): void {
    this.platform.vpContext.setRegister(register);
    this.hasRegisters = true;
  }

  requireMemory(pageBase: number, pageCount: number, { vtl2Protectable }: { vtl2Protectable: boolean }): void {
    const gpa = pageBase * PAGE_SIZE;
    const size = pageCount * PAGE_SIZE;
    if (size >= REQUIRED_MEMORY_LIMIT) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `the guest requires ${size} bytes of memory, and the format holds less than 4 GiB`,
        { gpa: { start: gpa, end: gpa + size } },
      );
    }
    this.directives.push({
      type: 'requiredMemory',
      gpa,
      size,
      vtl2Protectable,
      compatibilityMask: SINGLE_GUEST_MASK,
    });
    this.requiredMemory.push({ gpa, size, vtl2Protectable });
  }

  endOfImports(): number {
    return this.ranges.end() * PAGE_SIZE;
  }

  freePages(pageLimit: number): { pageBase: number; pageCount: number }[] {
    return this.ranges.gaps(pageLimit);
  }

  acceptAtBoot(ranges: readonly { pageBase: number; pageCount: number }[], tag: string): void {
    this.reportedRanges = ranges.map((range) => ({ ...range, tag }));
  }

  setVpContextPage(pageBase: number): void {
    if (this.fixedRam === undefined) {
      this.platform.vpContext.setContextPage(pageBase);
    } else if (pageBase >= this.fixedRam.pageCount) {
      throw new IgvmError('LAYOUT_OUT_OF_RANGE', "the VP context's page lies outside the guest's memory", FIXED_RAM);
    }
  }

  relocationRegion(region: RelocationRegion): void {
    this.relocateFor(this.vtl, region);
  }

  pageTableRelocation(pageTableGpa: number, pageCount: number, usedPageCount: number, vpIndex: number): void {
    this.relocatePageTableFor(this.vtl, pageTableGpa, pageCount, usedPageCount, vpIndex);
  }

  setImportedRegionsPage(pageBase: number): void {
    this.importedRegionsPage = pageBase;
  }

  setExpectedPageHashesPage(pageBase: number): void {
    this.expectedPageHashesPage = pageBase;
  }

  observe(observer: DirectiveObserver): void {
    this.observers.push(observer);
  }

  note(text: string): void {
    this.notes.push(text);
  }

  detail(text: string): void {
    this.details.push(text);
  }

  nested(): NestedImporter {
    return new NestedGuest(this, this.platform.nestedVpContext(), {
      relocate: (region) => this.relocateFor(0, region),
      relocatePageTable: (...parameters) => this.relocatePageTableFor(0, ...parameters),
    });
  }

  /**
   * The finished guest. Called once.
   * @throws IgvmError LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE, KERNEL_INVALID
   */
  finish(): BuiltGuest {
    const contextParts = this.platform.vpContext.finish();
    if (contextParts.length === 0 && this.hasRegisters) {
      this.note(
        'the image has no VP context, so no VMM can start it: under SNP, UEFI has one only with config_type "igvm"',
      );
    }
    for (const part of contextParts) {
      if (part.kind === 'directive') this.directives.push(part.directive);
      else this.importPages(part.pageBase, part.pageCount, 'vp-context-page', part.acceptance, part.data);
    }
    this.ranges.mergeAdjacent();
    this.importDeferredPages();
    for (const { pageBase, index } of [...this.parameterAreas].sort((a, b) => a.pageBase - b.pageBase)) {
      this.directives.push({
        type: 'parameterInsert',
        gpa: pageBase * PAGE_SIZE,
        compatibilityMask: SINGLE_GUEST_MASK,
        index,
      });
    }
    if (this.fixedRam !== undefined) this.importAllRam(this.fixedRam);
    return {
      file: {
        version: this.platform.version,
        arch: this.arch,
        platforms: [this.platform.header],
        initializations: this.initializations,
        directives: [...this.directives, ...this.pageData],
      },
      map: {
        isolation: this.guestIsolation,
        acceptedRanges: this.ranges.list(),
        reportedRanges: this.reportedRanges,
        requiredMemory: this.requiredMemory,
        relocatableRegions: this.relocations.list(),
      },
      observers: this.observers,
      notes: this.notes,
      details: this.details,
    };
  }

  private get vtl(): number {
    return this.platform.header.highestVtl;
  }

  private relocateFor(vtl: number, region: RelocationRegion): void {
    this.relocations.addRegion(region);
    this.initializations.push({
      type: 'relocatableRegion',
      compatibilityMask: SINGLE_GUEST_MASK,
      vtl,
      isVtl2: vtl === 2,
      vpIndex: region.vpIndex,
      applyPc: region.applyPc,
      applyGdtr: region.applyGdtr,
      relocationAlignment: region.alignment,
      gpa: region.gpa,
      size: region.size,
      minimumGpa: region.minimumGpa,
      maximumGpa: region.maximumGpa,
    });
  }

  private relocatePageTableFor(
    vtl: number,
    gpa: number,
    pageCount: number,
    usedPageCount: number,
    vpIndex: number,
  ): void {
    this.relocations.addPageTable(gpa, pageCount, usedPageCount);
    this.initializations.push({
      type: 'pageTableRelocation',
      compatibilityMask: SINGLE_GUEST_MASK,
      vtl,
      vpIndex,
      gpa,
      size: pageCount * PAGE_SIZE,
      usedSize: usedPageCount * PAGE_SIZE,
    });
  }

  /** A VP context in guest memory becomes a directive: the processor's VMSA, in one page. */
  private vmsaDirective(pageBase: number, pageCount: number, source: ByteSource): VpContextDirective {
    if (this.guestIsolation.type !== 'snp' || pageCount !== 1 || source.size < VMSA_SIZE || source.size > PAGE_SIZE) {
      unreachable(`a VMSA of ${source.size} bytes in ${pageCount} pages of a ${this.guestIsolation.type} guest`);
    }
    const data = new Uint8Array(PAGE_SIZE);
    source.read(0, data.subarray(0, source.size));
    return {
      type: 'vpContext',
      format: 'snp',
      gpa: pageBase * PAGE_SIZE,
      compatibilityMask: SINGLE_GUEST_MASK,
      vpIndex: 0,
      data,
    };
  }

  /**
   * OpenHCL's two areas that describe all other pages. They follow the sorted page data. The hashes come first, so that
   * the list of regions includes them.
   */
  private importDeferredPages(): void {
    const listPage = this.importedRegionsPage;
    if (listPage === undefined) return;
    const paravisor = require('./paravisor-pages') as typeof import('./paravisor-pages');
    this.pageData.sort((a, b) => a.gpa - b.gpa);
    const shared = this.pageData.filter(paravisor.isSharedData).reduce((count, run) => count + run.pageCount, 0);
    const hashes = new paravisor.SharedPageHashes(shared, paravisor.EXPECTED_PAGE_HASHES_LIMIT);
    this.observers.push(hashes);
    if (this.expectedPageHashesPage !== undefined) {
      this.importPages(
        this.expectedPageHashesPage,
        paravisor.EXPECTED_PAGE_HASHES_PAGES,
        'loader-expected-page-hashes',
        'exclusive',
        paravisor.expectedPageHashes(hashes),
      );
    }
    const list = { pageBase: listPage, pageCount: 1, acceptance: 'exclusive' as const };
    this.importPages(
      list.pageBase,
      list.pageCount,
      'loader-imported-regions',
      list.acceptance,
      paravisor.importedRegions(hashes, [...this.ranges.list(), list]),
    );
  }

  /**
   * All RAM of a guest with a fixed memory map is measured: memory without contents as empty pages, unless code in the
   * guest accepts it.
   */
  private importAllRam({ pageCount }: FixedRam): void {
    if (this.requiredMemory.length > 0) unreachable('a guest with fixed RAM required memory of its own');
    this.requireMemory(0, pageCount, { vtl2Protectable: false });
    const required = this.directives.pop() ?? unreachable('no RequiredMemory');
    this.directives.unshift(required);
    const size = pageCount * PAGE_SIZE;
    const end = this.pageData.reduce((last, run) => Math.max(last, run.gpa + run.pageCount * PAGE_SIZE), 0);
    if (end > size) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `the guest's ${pageCount} pages of memory are too few: it takes at least ${end / PAGE_SIZE} to load`,
        { ...FIXED_RAM, gpa: { start: size, end } },
      );
    }
    for (const gap of this.reportedRanges === undefined ? this.ranges.gaps(pageCount) : []) {
      this.importPages(gap.pageBase, gap.pageCount, 'accepted-zero-ram', 'exclusive', EMPTY_SOURCE);
    }
    this.pageData.sort((a, b) => a.gpa - b.gpa);
  }
}
