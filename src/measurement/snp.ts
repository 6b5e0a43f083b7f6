import { hash } from 'node:crypto';
import { IgvmError, unreachable } from '../errors/igvm-error';
import { SHA384_SIZE } from '../igvm/hashes';
import {
  type Directive,
  type IgvmFile,
  PAGE_DATA_TYPE,
  PAGE_FLAG,
  type PageDataDirective,
  type ParameterInsertDirective,
} from '../igvm/model';
import { type Vmm } from '../manifest/model';
import { PAGE_SIZE } from '../memory/page';
import { Vmsa } from '../vp-context/vmsa';
import { dependsOnModel, kvmVmsa } from './kvm-vmsa';
import {
  EarlyInserts,
  InsertedAreas,
  isForPlatform,
  type LaunchDigests,
  type LaunchResult,
  storedPages,
} from './launch-digests';
import { type Launch, launchLabel, type LaunchRules, UNSETTLED_VMMS, vmmProfile } from './launches';
import { type LoadRefusal, loadRefusals } from './load-refusals';
import { type PageHasher, pageHasherFor, ZERO_PAGE_DIGEST } from './page-hashing';

/** PAGE_TYPE of SNP_LAUNCH_UPDATE (SEV-SNP firmware ABI, 8.17). */
const PAGE_TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;

/** Bytes of PAGE_INFO, the structure that the firmware hashes for every page. */
const PAGE_INFO_SIZE = 0x70;

const NO_CONTENTS = new Uint8Array(SHA384_SIZE);

/** GPA that KVM gives every VMSA. */
const VMSA_GPA = 0xffff_ffff_f000;

/**
 * SHA-384 over the digest so far and a page's SHA-384, type and GPA, for every page in the order of a launch (SEV-SNP
 * firmware ABI, 8.17.2).
 */
class DigestChain {
  private readonly pageInfo = Buffer.from(new ArrayBuffer(PAGE_INFO_SIZE));
  private readonly view = new DataView(this.pageInfo.buffer);

  constructor(start: Uint8Array = NO_CONTENTS) {
    this.pageInfo.set(start);
    this.view.setUint16(96, PAGE_INFO_SIZE, true);
  }

  get digest(): Uint8Array {
    return new Uint8Array(this.pageInfo.subarray(0, SHA384_SIZE));
  }

  extend(type: number, gpa: number, contents: Uint8Array): void {
    this.pageInfo.set(contents, SHA384_SIZE);
    this.view.setUint8(98, type);
    this.view.setBigUint64(104, BigInt(gpa), true);
    // A string with one byte per character is faster than a buffer: it saves a quarter of the time for hashing.
    this.pageInfo.write(hash('sha384', this.pageInfo, 'binary'), 0, SHA384_SIZE, 'latin1');
  }
}

/** The pages of a guest as they are added by the VMMs that share a set of rules. */
class PagesOfLaunch {
  readonly chain = new DigestChain();
  private readonly early: EarlyInserts | undefined;

  constructor(
    readonly rules: LaunchRules,
    directives: readonly Directive[],
    mask: number,
    private readonly areas: InsertedAreas,
  ) {
    this.early = rules.inserts === 'in file order' ? undefined : new EarlyInserts(directives, mask);
  }

  leavesOut(run: PageDataDirective): boolean {
    return this.rules.sharedPages === 'left out' && (run.flags & PAGE_FLAG.SHARED) !== 0;
  }

  /** Parameter areas that are added before the part of a run that begins at `page`. */
  before(run: PageDataDirective, firstPage: number): void {
    for (const insert of this.early?.before(run, firstPage) ?? []) this.extendByArea(insert);
  }

  insert(directive: ParameterInsertDirective): void {
    if (!this.early?.has(directive)) this.extendByArea(directive);
  }

  /** Pages without contents, or whose contents aren't measured. */
  extend(type: number, gpa: number, pageCount: number, isLarge: boolean): void {
    const isZeroType = type === PAGE_TYPE.normal && this.rules.emptyPages === 'zero';
    const contents = type === PAGE_TYPE.normal && !isZeroType ? ZERO_PAGE_DIGEST : NO_CONTENTS;
    const each = isLarge ? this.rules.largePage : 1;
    for (let page = 0; page < pageCount * each; page++) {
      const at = gpa + (Math.floor(page / each) + (page % each)) * PAGE_SIZE;
      this.chain.extend(isZeroType ? PAGE_TYPE.zero : type, at, contents);
    }
  }

  extendByContents(gpa: number, digests: Uint8Array, isLarge: boolean): void {
    for (let page = 0; page * SHA384_SIZE < digests.length; page++) {
      const contents = digests.subarray(page * SHA384_SIZE, (page + 1) * SHA384_SIZE);
      const at = gpa + page * PAGE_SIZE;
      this.chain.extend(PAGE_TYPE.normal, at, contents);
      // A large page is zero after its data.
      if (isLarge) {
        for (let rest = 1; rest < this.rules.largePage; rest++)
          this.extend(PAGE_TYPE.normal, at + rest * PAGE_SIZE, 1, false);
      }
    }
  }

  private extendByArea(insert: ParameterInsertDirective): void {
    for (const gpa of this.areas.of(insert)) this.chain.extend(PAGE_TYPE.unmeasured, gpa, NO_CONTENTS);
  }
}

/**
 * SEV-SNP launch digests of any number of launches in one pass. The SHA-384 of each page is computed once, each set of
 * rules has its own chain, and launches that differ only in their vCPUs differ only at the end of a chain.
 */
export class SnpLaunchDigests implements LaunchDigests {
  /** Links wait for the digests of their pages themselves, so that calls need not wait for each other. */
  readonly pagesOverlap = true;
  private readonly hasher: PageHasher;
  private readonly chains = new Map<Vmm, PagesOfLaunch>();
  private readonly refusals: readonly (readonly LoadRefusal[])[];
  private readonly contexts = new Map<number, Vmsa>();
  /** The launch digest that the file's ID block expects. */
  private expected: Uint8Array | undefined;
  /** The last link that waits for worker threads; undefined while none does. */
  private tail: Promise<void> | undefined;

  /**
   * @param options.searched VMMs whose digests `digestsByCount` returns afterwards, even if the VMM refuses the file
   * @throws IgvmError MEASUREMENT_IMPOSSIBLE when the file has no guest policy for the platform; LAUNCH_INVALID when a
   *   digest depends on the processor model and none is named
   */
  constructor(
    file: Pick<IgvmFile, 'platforms' | 'initializations' | 'directives'>,
    readonly compatibilityMask: number,
    private readonly launches: readonly Launch[],
    { hasher, searched = [] }: { hasher?: PageHasher; searched?: readonly Vmm[] } = {},
  ) {
    const mask = compatibilityMask;
    const hasPolicy = file.initializations.some(
      (header) => header.type === 'guestPolicy' && isForPlatform(header, mask),
    );
    if (!hasPolicy) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', 'the file has no guest policy for its SEV-SNP platform');
    }
    for (const directive of file.directives) {
      if (directive.type === 'vpContext' && directive.format === 'snp' && isForPlatform(directive, mask)) {
        // The last context of a vCPU counts, as each sets all registers.
        this.contexts.set(directive.vpIndex, new Vmsa(directive.data));
      }
    }
    const areas = new InsertedAreas(file.directives, mask);
    const follow = (vmm: Vmm): void => {
      if (this.chains.has(vmm)) return;
      this.chains.set(vmm, new PagesOfLaunch(vmmProfile(vmm).launch, file.directives, mask, areas));
    };
    this.refusals = launches.map((launch) => {
      if (launch.vmm in UNSETTLED_VMMS) return [{ reason: UNSETTLED_VMMS[launch.vmm as keyof typeof UNSETTLED_VMMS] }];
      const vmm = launch.vmm as Vmm;
      const refusals = loadRefusals(file, mask, vmmProfile(vmm), launch);
      if (refusals.some(({ isLate }) => !isLate)) return refusals;
      this.checkProcessor(launch, vmm);
      follow(vmm);
      return refusals;
    });
    for (const vmm of searched) follow(vmm);
    const withShared = [...this.chains.values()].some(({ rules }) => rules.sharedPages === 'measured');
    const pages = this.chains.size === 0 ? 0 : storedPages(file.directives, mask, withShared);
    this.hasher = hasher ?? pageHasherFor(pages);
  }

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterInsert') {
      this.link(() => this.eachChain((pages) => pages.insert(directive)));
    } else if (directive.type === 'vpContext' && directive.format === 'snp') {
      this.link(() =>
        this.eachChain(({ rules, chain }) => {
          if (rules.vmsas !== 'as in the file') return;
          chain.extend(PAGE_TYPE.vmsa, directive.gpa, vmsaDigest(new Vmsa(directive.data)));
        }),
      );
    } else if (directive.type === 'snpIdBlock') this.expected = directive.ld;
  }

  pages(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void> {
    if (!isForPlatform(run, this.compatibilityMask)) return;
    const wanted = [...this.chains.values()].filter((pages) => !pages.leavesOut(run));
    if (wanted.length === 0) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    const type = pageType(run);
    const isLarge = (run.flags & PAGE_FLAG.IS_2MB_PAGE) !== 0;
    const extend = (step: (pages: PagesOfLaunch) => void): void => {
      for (const pages of wanted) {
        pages.before(run, firstPage);
        step(pages);
      }
    };
    if (type !== PAGE_TYPE.normal || bytes === undefined) {
      return this.link(() => extend((pages) => pages.extend(type, gpa, pageCount, isLarge)));
    }
    const hashed = this.hasher.hash(bytes);
    const extendBy = (digests: Uint8Array): void => extend((pages) => pages.extendByContents(gpa, digests, isLarge));
    if (hashed instanceof Uint8Array) return this.link(() => extendBy(hashed));
    this.queue(async () => extendBy(await hashed));
    // The caller may reuse its buffer as soon as it is hashed; a failure is reported by the chain.
    return hashed.then(
      () => undefined,
      () => undefined,
    );
  }

  async results(): Promise<LaunchResult[]> {
    try {
      await this.tail;
      const vcpus = new Map<string, VcpuChain>();
      return this.launches.map((launch, index) => this.resultOf(launch, this.refusals[index] ?? [], vcpus));
    } finally {
      await this.hasher.close();
    }
  }

  async close(): Promise<void> {
    await this.hasher.close();
  }

  /**
   * The digests of a VMM's launches with 1, 2, 3 and so on vCPUs, without end; a single digest if it doesn't depend on
   * their number. May be called after `results`, for a VMM that was measured or searched.
   */
  *digestsByCount(launch: Pick<Launch, 'vmm' | 'cpu'>): Generator<Uint8Array> {
    const { rules, chain } = this.chains.get(launch.vmm as Vmm) ?? unreachable('a VMM whose pages were not followed');
    if (rules.vmsas === 'as in the file') return yield chain.digest;
    const vcpus = this.vcpuChain(launch, rules, chain.digest);
    for (let count = 1; ; count++) yield vcpus.after(count);
  }

  private resultOf(launch: Launch, refusals: readonly LoadRefusal[], vcpus: Map<string, VcpuChain>): LaunchResult {
    const pages = this.chains.get(launch.vmm as Vmm);
    if (pages === undefined || refusals.some(({ isLate }) => !isLate)) return { launch, refusals, warnings: [] };
    const digest = this.digestOf(launch, pages, vcpus);
    const warnings = this.warningsOf(launch, pages.rules);
    if (refusals.length > 0) warnings.push('KVM refuses this launch, so no guest reports this digest');
    if (this.expected !== undefined && Buffer.compare(this.expected, digest) !== 0) {
      warnings.push('the SNP ID block of the file expects another launch digest, so the launch would be refused');
    }
    return { launch, digest, refusals, warnings };
  }

  private digestOf(launch: Launch, { rules, chain }: PagesOfLaunch, vcpus: Map<string, VcpuChain>): Uint8Array {
    const { vmsas: state } = rules;
    if (state === 'as in the file') return chain.digest;
    const key = `${launch.vmm} ${launch.cpu?.signature} ${launch.cpu?.drops}`;
    const shared = vcpus.get(key) ?? this.vcpuChain(launch, rules, chain.digest);
    vcpus.set(key, shared);
    return shared.after(launch.kvmMode === 'bsp-only' ? 1 : (launch.vcpus ?? 1));
  }

  private vcpuChain(launch: Pick<Launch, 'cpu'>, rules: LaunchRules, pages: Uint8Array): VcpuChain {
    // All vCPUs without a context are alike.
    let afterReset: Uint8Array | undefined;
    return new VcpuChain(pages, (index) => {
      if (this.contexts.has(index)) return vmsaDigest(this.vmsaOf(launch, rules, index));
      return (afterReset ??= vmsaDigest(this.vmsaOf(launch, rules, index)));
    });
  }

  private vmsaOf({ cpu }: Pick<Launch, 'cpu'>, { vmsas: state }: LaunchRules, index: number): Vmsa {
    if (state === 'as in the file') return unreachable('a VMSA that KVM does not make');
    const features = this.contexts.get(0)?.get('sevFeatures') ?? 1n;
    return kvmVmsa({ state, context: this.contexts.get(index), features, cpu });
  }

  /** @throws IgvmError LAUNCH_INVALID when the digest depends on the processor model and none is given */
  private checkProcessor(launch: Launch, vmm: Vmm): void {
    const { takes } = vmmProfile(vmm);
    if (!takes.cpu || launch.cpu !== undefined) return;
    const count = launch.kvmMode === 'bsp-only' ? 1 : (launch.vcpus ?? 1);
    for (let index = 0; index < count; index++) {
      const context = this.contexts.get(index);
      if (context !== undefined && !dependsOnModel(context.get('cr4'))) continue;
      throw new IgvmError(
        'LAUNCH_INVALID',
        `the launch digest on ${launchLabel(launch)} depends on the processor model, and none is given`,
      );
    }
  }

  /** Warnings about the ways in which the VMM deviates from the file. */
  private warningsOf({ vmm, vcpus = 1 }: Launch, { vmsas: state }: LaunchRules): string[] {
    if (state === 'as in the file') return [];
    const warnings: string[] = [];
    for (const [index, context] of this.contexts) {
      const tr = context.getSegment('tr').base;
      if (state.trBase === 'ldtr' && tr !== context.getSegment('ldtr').base) {
        warnings.push(
          `QEMU gives TR of vCPU ${index} the base of LDTR; a QEMU without this bug would result in another digest`,
        );
      }
      if (index >= vcpus) warnings.push(`${vmmProfile(vmm as Vmm).program} leaves out the context of vCPU ${index}`);
    }
    return warnings;
  }

  private eachChain(step: (pages: PagesOfLaunch) => void): void {
    for (const pages of this.chains.values()) step(pages);
  }

  /** Runs `step` after all earlier steps: at once, or when worker threads have hashed the pages before it. */
  private link(step: () => void): void {
    if (this.tail === undefined) step();
    else this.queue(async () => step());
  }

  private queue(step: () => Promise<void>): void {
    const tail = (this.tail ?? Promise.resolve()).then(step);
    this.tail = tail;
    const isDone = (): void => {
      if (this.tail === tail) this.tail = undefined;
    };
    // A failure is kept for `results` to report.
    tail.then(isDone, () => undefined);
  }
}

/** The end of a chain: the VMSAs of vCPU 0, 1 and so on. Each link is the digest with that many vCPUs. */
class VcpuChain {
  private readonly digests: Uint8Array[] = [];
  private readonly chain: DigestChain;

  constructor(
    pages: Uint8Array,
    private readonly digestOfVmsa: (index: number) => Uint8Array,
  ) {
    this.chain = new DigestChain(pages);
  }

  after(count: number): Uint8Array {
    while (this.digests.length < count) {
      this.chain.extend(PAGE_TYPE.vmsa, VMSA_GPA, this.digestOfVmsa(this.digests.length));
      this.digests.push(this.chain.digest);
    }
    return this.digests[count - 1] ?? unreachable('a launch without vCPUs');
  }
}

const vmsaDigest = (vmsa: Vmsa): Uint8Array => hash('sha384', vmsa.page, 'buffer');

function pageType(run: PageDataDirective): number {
  switch (run.dataType) {
    case PAGE_DATA_TYPE.SECRETS:
      return PAGE_TYPE.secrets;
    case PAGE_DATA_TYPE.CPUID_DATA:
    case PAGE_DATA_TYPE.CPUID_XF:
      return PAGE_TYPE.cpuid;
    default:
      return (run.flags & PAGE_FLAG.UNMEASURED) === 0 ? PAGE_TYPE.normal : PAGE_TYPE.unmeasured;
  }
}
