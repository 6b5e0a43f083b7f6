import { createHash } from 'node:crypto';

/**
 * A second implementation of the SEV-SNP launch digest as QEMU and Cloud Hypervisor build it on KVM, for tests only. It
 * shares no code with src and was written from a description of the calls that the real VMMs make to KVM. It is simple rather than
 * fast: it lists every 4 KiB step of the launch, then hashes the list.
 */

export type KvmVmm = 'qemu-kvm' | 'cloud-hypervisor-kvm';

/** One 4 KiB step of the launch: the page type of KVM's update command, and the page's bytes if they are measured. */
interface Step {
  type: 1 | 2 | 3 | 4 | 5 | 6;
  gpa: bigint;
  data?: Uint8Array;
}

interface Item {
  /** Index among the file's directives, including those of other platforms. */
  place: number;
  type: number;
  at: number;
}

interface Page {
  place: number;
  gpa: bigint;
  mask: number;
  flags: number;
  kind: number;
  data: Buffer | undefined;
}

const page = 4096n;
const vmsaGpa = 0xfffffffff000n;

/** Effects of the CPU model: RDX after a reset, and bits of CR4 that QEMU clears because the model lacks them. */
const umip = 1n << 11n;
const protectionKeys = 1n << 22n;
const alwaysDropped = (1n << 23n) | (1n << 24n) | (1n << 28n);
const models: Record<string, { signature: number; dropped: bigint }> = {
  EPYC: { signature: 0x00800f12, dropped: umip | protectionKeys },
  'EPYC-v4': { signature: 0x00800f12, dropped: umip | protectionKeys },
  'EPYC-Rome': { signature: 0x00830f10, dropped: protectionKeys },
  'EPYC-Milan': { signature: 0x00a00f11, dropped: 0n },
  'EPYC-Genoa': { signature: 0x00a10f10, dropped: 0n },
  'EPYC-Genoa-v1': { signature: 0x00a10f10, dropped: 0n },
  'EPYC-Genoa-v2': { signature: 0x00a10f10, dropped: 0n },
  'EPYC-Turin': { signature: 0x00b00f00, dropped: 0n },
};

export const secondModels: readonly string[] = Object.keys(models);

/** The SEV-SNP launch digest of a file with one or several platforms; `mask` is the compatibility mask of SEV-SNP. */
export function secondKvmDigest(file: Buffer, mask: number, vmm: KvmVmm, vcpus: number, cpu = 'EPYC-Milan'): Buffer {
  const pages = vmm === 'qemu-kvm' ? qemuPages(file, mask) : cloudHypervisorPages(file, mask);
  const vmsas = secondVmsas(file, mask, vmm, vcpus, cpu).map((data): Step => ({ type: 2, gpa: vmsaGpa, data }));
  return [...pages, ...vmsas].reduce(digestAfter, Buffer.alloc(48));
}

function digestAfter(digest: Buffer, { type, gpa, data }: Step): Buffer {
  const info = Buffer.alloc(0x70);
  digest.copy(info, 0);
  if (data !== undefined) createHash('sha384').update(data).digest().copy(info, 48);
  info.writeUInt16LE(0x70, 96);
  info.writeUInt8(type, 98);
  info.writeBigUInt64LE(gpa, 104);
  return createHash('sha384').update(info).digest();
}

function items(file: Buffer): Item[] {
  const found: Item[] = [];
  let at = file.readUInt32LE(8);
  const end = at + file.readUInt32LE(12);
  while (at < end) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    if (type >= 0x300) found.push({ place: found.length, type, at: at + 8 });
    at += 8 + ((length + 7) & ~7);
  }
  return found;
}

/** Sizes of the parameter areas by index. Areas belong to all platforms. */
function areas(file: Buffer): Map<number, bigint> {
  const sized = items(file).filter(({ type }) => type === 0x301);
  return new Map(sized.map(({ at }) => [file.readUInt32LE(at + 8), file.readBigUInt64LE(at)]));
}

/** Directives with a mask have it at byte 8. */
const isOf = (file: Buffer, { at }: Item, mask: number): boolean => (file.readUInt32LE(at + 8) & mask) !== 0;

function pageAt(file: Buffer, { place, at }: Item): Page {
  const offset = file.readUInt32LE(at + 12);
  return {
    place,
    gpa: file.readBigUInt64LE(at),
    mask: file.readUInt32LE(at + 8),
    flags: file.readUInt32LE(at + 16),
    kind: file.readUInt16LE(at + 20),
    data: offset === 0 ? undefined : file.subarray(offset, offset + 4096),
  };
}

function insertSteps(file: Buffer, { at }: Item): Step[] {
  const size = areas(file).get(file.readUInt32LE(at + 12)) ?? 0n;
  const steps: Step[] = [];
  for (let from = 0n; from < size; from += page) steps.push({ type: 4, gpa: file.readBigUInt64LE(at) + from });
  return steps;
}

const isLarge = (of: Page): boolean => (of.flags & 1) !== 0;

/** QEMU: the steps of one page directive, 512 for one of 2 MiB. The first page has its bytes; the others are empty. */
function qemuSteps(of: Page): Step[] {
  const type = of.kind === 1 ? 5 : of.kind === 2 || of.kind === 3 ? 6 : (of.flags & 2) !== 0 ? 4 : 1;
  return Array.from({ length: isLarge(of) ? 512 : 1 }, (_, index) => {
    const data = (index === 0 ? of.data : undefined) ?? Buffer.alloc(4096);
    return { type, gpa: of.gpa + BigInt(index) * page, ...(type === 1 ? { data } : {}) };
  });
}

/**
 * QEMU collects adjacent pages in a run. It sends the run before a page that doesn't belong to it, or at the end. An insert is
 * sent at once, before the collected run.
 */
function qemuPages(file: Buffer, mask: number): Step[] {
  const sent: Step[] = [];
  let run: Page[] = [];
  const send = (): void => {
    sent.push(...run.flatMap(qemuSteps));
    run = [];
  };
  for (const item of items(file)) {
    if (item.type === 0x303 && isOf(file, item, mask)) sent.push(...insertSteps(file, item));
    if (item.type !== 0x302 || !isOf(file, item, mask)) continue;
    const next = pageAt(file, item);
    const last = run.at(-1);
    if (last !== undefined && !continuesRun(last, next)) send();
    run.push(next);
  }
  send();
  return sent;
}

function continuesRun(last: Page, next: Page): boolean {
  const isAlike = last.flags === next.flags && last.kind === next.kind && last.mask === next.mask;
  const hasSameSource = (last.data === undefined) === (next.data === undefined);
  const isNextAddress = next.gpa === last.gpa + (isLarge(last) ? 512n * page : page);
  return isAlike && hasSameSource && isNextAddress && next.place === last.place + 1;
}

/** Cloud Hypervisor: in the order of the file, with a page without data as KVM's zero page, and without pages of 2 MiB. */
function cloudHypervisorPages(file: Buffer, mask: number): Step[] {
  return items(file).flatMap((item): Step[] => {
    if ((item.type !== 0x302 && item.type !== 0x303) || !isOf(file, item, mask)) return [];
    if (item.type === 0x303) return insertSteps(file, item);
    const { gpa, kind, flags, data } = pageAt(file, item);
    if (kind === 1) return [{ type: 5, gpa }];
    if (kind === 2) return [{ type: 6, gpa }];
    if ((flags & 2) !== 0) return [{ type: 4, gpa }];
    return [data === undefined ? { type: 3, gpa } : { type: 1, gpa, data }];
  });
}

/** The VMSA of each vCPU as KVM measures it, by vCPU index: 4096 bytes each. */
export function secondVmsas(file: Buffer, mask: number, vmm: KvmVmm, vcpus: number, cpu = 'EPYC-Milan'): Buffer[] {
  const contexts = new Map<number, Buffer>();
  for (const item of items(file)) {
    if (item.type !== 0x304 || !isOf(file, item, mask)) continue;
    const offset = file.readUInt32LE(item.at + 12);
    contexts.set(file.readUInt16LE(item.at + 16), file.subarray(offset, offset + 4096));
  }
  const features = (contexts.get(0)?.readBigUInt64LE(0x3b0) ?? 0n) | 1n;
  const model = models[cpu];
  if (model === undefined) throw new Error(`No model ${cpu}`);
  return Array.from({ length: vcpus }, (_, index) => {
    const context = contexts.get(index);
    const vmsa =
      context === undefined
        ? resetState(vmm, model.signature)
        : vmm === 'qemu-kvm'
          ? throughQemu(context, model.dropped)
          : throughCloudHypervisor(context);
    afterKvm(vmsa);
    vmsa.writeBigUInt64LE(features, 0x3b0);
    return vmsa;
  });
}

const segmentPlaces = { es: 0, cs: 0x10, ss: 0x20, ds: 0x30, fs: 0x40, gs: 0x50, ldtr: 0x70, tr: 0x90 };
const tablePlaces = { gdtr: 0x60, idtr: 0x80 };
const place = { cpl: 0xcb, efer: 0xd0, cr4: 0x148, cr3: 0x150, cr0: 0x158, dr7: 0x160, dr6: 0x168, rflags: 0x170 };
const more = { rip: 0x178, rsp: 0x1d8, rax: 0x1f8, pat: 0x268, rdx: 0x310, xcr0: 0x3e8, mxcsr: 0x408, fcw: 0x410 };
/** RCX, RDX, RBX; RBP, RSI, RDI and R8 to R15. 0x320 is reserved. */
const generalPlaces = [0x308, 0x310, 0x318, ...Array.from({ length: 11 }, (_, index) => 0x328 + index * 8)];
const longPlaces = [place.cr3, more.rip, more.rsp, more.rax, ...generalPlaces];

const change = (vmsa: Buffer, at: number, to: (value: bigint) => bigint): void => {
  vmsa.writeBigUInt64LE(to(vmsa.readBigUInt64LE(at)), at);
};

/** The fields that both VMMs pass on unchanged. The rest of a context isn't measured. */
function takenOver(context: Buffer): Buffer {
  const vmsa = Buffer.alloc(4096);
  for (const at of Object.values(segmentPlaces)) {
    context.copy(vmsa, at, at, at + 16);
    vmsa.writeUInt16LE(context.readUInt16LE(at + 2) & 0xfff, at + 2);
  }
  for (const at of Object.values(tablePlaces)) {
    vmsa.writeUInt32LE(context.readUInt32LE(at + 4) & 0xffff, at + 4);
    context.copy(vmsa, at + 8, at + 8, at + 16);
  }
  for (const at of [...longPlaces, place.cr0, place.cr4, place.efer, place.rflags]) context.copy(vmsa, at, at, at + 8);
  return vmsa;
}

function throughQemu(context: Buffer, dropped: bigint): Buffer {
  const vmsa = takenOver(context);
  for (const at of [place.dr6, place.dr7, more.pat, more.xcr0]) context.copy(vmsa, at, at, at + 8);
  // QEMU gives TR the base of LDTR.
  context.copy(vmsa, segmentPlaces.tr + 8, segmentPlaces.ldtr + 8, segmentPlaces.ldtr + 16);
  change(vmsa, place.cr0, (cr0) => cr0 | 0x10n);
  change(vmsa, place.cr4, (cr4) => cr4 & ~(dropped | alwaysDropped));
  const isPaging = (vmsa.readUInt32LE(place.cr0) & 0x80000000) !== 0;
  change(vmsa, place.efer, (efer) => (isPaging && (efer & 0x100n) !== 0n ? efer | 0x400n : efer));
  return vmsa;
}

function throughCloudHypervisor(context: Buffer): Buffer {
  const vmsa = takenOver(context);
  writeKvmDefaults(vmsa);
  return vmsa;
}

/** DR6, DR7, PAT and XCR0 as KVM sets them at a reset. */
function writeKvmDefaults(vmsa: Buffer): void {
  vmsa.writeBigUInt64LE(0xffff0ff0n, place.dr6);
  vmsa.writeBigUInt64LE(0x400n, place.dr7);
  vmsa.writeBigUInt64LE(0x0007040600070406n, more.pat);
  vmsa.writeBigUInt64LE(1n, more.xcr0);
}

/** KVM's own changes, for every VMM. */
function afterKvm(vmsa: Buffer): void {
  change(vmsa, place.cr0, (cr0) => cr0 & ~0x60000000n);
  change(vmsa, place.cr4, (cr4) => cr4 | 0x40n);
  change(vmsa, place.efer, (efer) => efer | 0x1000n);
  change(vmsa, place.rflags, (rflags) => rflags | 2n);
  vmsa.writeUInt8((vmsa.readUInt16LE(segmentPlaces.ss + 2) >> 5) & 3, place.cpl);
  vmsa.writeUInt32LE(0x1f80, more.mxcsr);
  vmsa.writeUInt16LE(0x37f, more.fcw);
}

/** A vCPU without a context: QEMU's reset state, or KVM's initial state of a vCPU. */
function resetState(vmm: KvmVmm, signature: number): Buffer {
  const isQemu = vmm === 'qemu-kvm';
  const vmsa = Buffer.alloc(4096);
  const segment = (at: number, selector: number, attributes: number, base: bigint): void => {
    vmsa.writeUInt16LE(selector, at);
    vmsa.writeUInt16LE(attributes, at + 2);
    vmsa.writeUInt32LE(0xffff, at + 4);
    vmsa.writeBigUInt64LE(base, at + 8);
  };
  const { es, cs, ss, ds, fs, gs, ldtr, tr } = segmentPlaces;
  for (const at of [es, ss, ds, fs, gs]) segment(at, 0, isQemu ? 0x93 : 0x92, 0n);
  segment(cs, 0xf000, isQemu ? 0x9b : 0x9a, 0xffff0000n);
  segment(ldtr, 0, 0x82, 0n);
  segment(tr, 0, isQemu ? 0x8b : 0x83, 0n);
  for (const at of Object.values(tablePlaces)) segment(at, 0, 0, 0n);
  vmsa.writeBigUInt64LE(0xfff0n, more.rip);
  vmsa.writeBigUInt64LE(0x60000010n, place.cr0);
  vmsa.writeBigUInt64LE(BigInt(isQemu ? signature : 0x600), more.rdx);
  writeKvmDefaults(vmsa);
  return vmsa;
}
