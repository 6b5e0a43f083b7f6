import { hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import { SHA384_SIZE } from '../igvm/hashes';
import type { Directive, IgvmFile, PageDataDirective, VpContextDirective } from '../igvm/model';
import { PAGE_DATA_TYPE, PAGE_FLAG } from '../igvm/page-data';
import { PAGE_SIZE } from '../memory/page';
import { KVM_VMSA_GPA, Vmsa } from '../vp-context/vmsa';
import { isForPlatform, type LaunchDigest, type Vmm } from './launch-digest';
import { pageHasherFor } from './page-hash-pool';
import { type PageHasher, ZERO_PAGE_DIGEST } from './page-hasher';
import { ParameterAreas, storedPages } from './parameter-areas';

/** PAGE_TYPE of SNP_LAUNCH_UPDATE (SEV-SNP firmware ABI, 8.17). */
const PAGE_TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;

/** Bytes of PAGE_INFO, the structure that the firmware hashes for every page. */
const PAGE_INFO_SIZE = 0x70;

const NO_CONTENTS = new Uint8Array(SHA384_SIZE);

/** What svsm's igvmmeasure takes for KVM's values of CR0: real and protected mode. */
const KVM_CR0: readonly bigint[] = [0x30n, 0x31n];

/**
 * SEV-SNP launch digest: for every page, in the order of the launch, SHA-384 over the digest so far and the page's
 * SHA-384, type and GPA (SEV-SNP firmware ABI, 8.17.2; the igvm crate, measurement/snp.rs).
 *
 * Hyper-V launches in file order; shared pages are not part of the launch. KVM, as QEMU drives it (backends/igvm.c; svsm's
 * igvmmeasure), measures the VMSA last, imports empty pages with a type of their own, and takes shared pages like others.
 * All pages of a parameter area are imported; igvmmeasure counts the first alone, so it is right for areas of one page.
 */
export class SnpLaunchDigest implements LaunchDigest {
  readonly warnings: string[] = [];
  /** Links wait for the digests of their pages, not for the end of an earlier call. */
  readonly pagesOverlap = true;
  private readonly hasher: PageHasher;
  private readonly areas = new ParameterAreas();
  private readonly vmsas: VpContextDirective[] = [];
  /** The launch digest that the file's ID block expects. */
  private expected: Uint8Array | undefined;
  private readonly pageInfo = Buffer.from(new ArrayBuffer(PAGE_INFO_SIZE));
  private readonly view = new DataView(this.pageInfo.buffer);
  /** The last link that waits for worker threads; undefined while nothing does. */
  private tail: Promise<void> | undefined;

  /** @throws IgvmError MEASUREMENT_IMPOSSIBLE when the file has no guest policy for the platform. */
  constructor(
    file: Pick<IgvmFile, 'initializations' | 'directives'>,
    readonly compatibilityMask: number,
    private readonly vmm: Vmm,
    hasher?: PageHasher,
  ) {
    const hasPolicy = file.initializations.some(
      (header) => header.type === 'guestPolicy' && isForPlatform(header, compatibilityMask),
    );
    if (!hasPolicy) {
      throw new IgvmError('MEASUREMENT_IMPOSSIBLE', 'the file has no guest policy for its SEV-SNP platform');
    }
    this.hasher = hasher ?? pageHasherFor(storedPages(file.directives, compatibilityMask, vmm === 'kvm'));
    this.view.setUint16(96, PAGE_INFO_SIZE, true);
  }

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterArea') this.areas.add(directive);
    else if (directive.type === 'parameterInsert') {
      const pages = [...this.areas.pagesOf(directive)];
      this.link(() => pages.forEach((gpa) => this.extend(PAGE_TYPE.unmeasured, gpa, NO_CONTENTS)));
    } else if (directive.type === 'vpContext' && directive.format === 'snp') {
      if (this.vmm === 'kvm') this.vmsas.push(directive);
      else this.link(() => this.extendByVmsa(directive));
    } else if (directive.type === 'snpIdBlock') this.expected = directive.ld;
  }

  pages(
    run: PageDataDirective,
    firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void> {
    if (!isForPlatform(run, this.compatibilityMask)) return;
    if (this.vmm === 'hyperv' && (run.flags & PAGE_FLAG.SHARED) !== 0) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    const type = pageType(run);
    if (type === PAGE_TYPE.normal && bytes !== undefined) return this.extendByData(gpa, bytes);
    const isZeroType = type === PAGE_TYPE.normal && this.vmm === 'kvm';
    const contents = type === PAGE_TYPE.normal && !isZeroType ? ZERO_PAGE_DIGEST : NO_CONTENTS;
    return this.link(() => {
      for (let page = 0; page < pageCount; page++) {
        this.extend(isZeroType ? PAGE_TYPE.zero : type, gpa + page * PAGE_SIZE, contents);
      }
    });
  }

  async digest(): Promise<Uint8Array> {
    try {
      await this.tail;
      for (const vmsa of this.vmsas) this.extendByVmsa(vmsa);
      if (this.vmm === 'kvm') this.checkVmsas();
      const digest = new Uint8Array(this.pageInfo.subarray(0, SHA384_SIZE));
      if (this.expected !== undefined && Buffer.compare(this.expected, digest) !== 0) {
        this.warnings.push(
          'the SNP ID block of the file expects another launch digest, so the launch would be refused',
        );
      }
      return digest;
    } finally {
      await this.hasher.close();
    }
  }

  async close(): Promise<void> {
    await this.hasher.close();
  }

  private extendByData(gpa: number, bytes: Uint8Array): void | Promise<void> {
    const hashed = this.hasher.hash(bytes);
    const extend = (digests: Uint8Array): void => {
      for (let page = 0; page * SHA384_SIZE < digests.length; page++) {
        const contents = digests.subarray(page * SHA384_SIZE, (page + 1) * SHA384_SIZE);
        this.extend(PAGE_TYPE.normal, gpa + page * PAGE_SIZE, contents);
      }
    };
    if (hashed instanceof Uint8Array) return this.link(() => extend(hashed));
    this.chain(async () => extend(await hashed));
    // The caller may reuse its buffer as soon as it is hashed; a failure is reported by the chain.
    return hashed.then(
      () => undefined,
      () => undefined,
    );
  }

  /** Does `step` after everything before it: at once, or when the pages that worker threads still hash are there. */
  private link(step: () => void): void {
    if (this.tail === undefined) step();
    else this.chain(async () => step());
  }

  private chain(step: () => Promise<void>): void {
    const tail = (this.tail ?? Promise.resolve()).then(step);
    this.tail = tail;
    const isDone = (): void => {
      if (this.tail === tail) this.tail = undefined;
    };
    // A failure stays, for `digest` to report.
    tail.then(isDone, () => undefined);
  }

  private extendByVmsa(directive: VpContextDirective): void {
    const page = new Uint8Array(PAGE_SIZE);
    page.set(directive.data.subarray(0, PAGE_SIZE));
    this.extend(PAGE_TYPE.vmsa, directive.gpa, hash('sha384', page, 'buffer'));
  }

  private extend(type: number, gpa: number, contents: Uint8Array): void {
    this.pageInfo.set(contents, SHA384_SIZE);
    this.view.setUint8(98, type);
    this.view.setBigUint64(104, BigInt(gpa), true);
    // A string of one byte a character is made faster than a buffer, by a quarter of the hash's own time.
    this.pageInfo.write(hash('sha384', this.pageInfo, 'binary'), 0, SHA384_SIZE, 'latin1');
  }

  private checkVmsas(): void {
    if (this.vmsas.length > 1) this.warnings.push('KVM takes the VMSA of one processor only, and the file has several');
    for (const { gpa, data } of this.vmsas) {
      if (gpa !== KVM_VMSA_GPA) {
        this.warnings.push(
          `KVM measures the VMSA at GPA 0x${KVM_VMSA_GPA.toString(16)}, and the file has it at 0x${gpa.toString(16)}`,
        );
      }
      const cr0 = new Vmsa(data).get('cr0');
      if (!KVM_CR0.includes(cr0)) {
        this.warnings.push(
          `KVM may replace the CR0 of the VMSA, 0x${cr0.toString(16)}, by 0x30 or 0x31 (igvmmeasure --check-kvm)`,
        );
      }
    }
  }
}

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
