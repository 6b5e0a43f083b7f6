import { crc32, sha256Hex } from '../files/hashes';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, type PageDataDirective, PLATFORM_TYPE } from '../igvm/model';
import { memorySink } from '../igvm/file-data';
import { writeIgvm } from '../igvm/write-igvm';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';

/** Compatibility bits of the file's platforms, the lowest and the highest among them. */
export const MASK = { snp: 1, tdx: 0x8000_0000, vbs: 4 } as const;

const ALL_PLATFORMS = MASK.snp + MASK.tdx + MASK.vbs;

/** A platform header. */
export const platform = (compatibilityMask: number, platformType: IgvmFile['platforms'][number]['platformType']) => ({
  compatibilityMask,
  platformType,
  highestVtl: 0,
  platformVersion: 1,
  sharedGpaBoundary: 0n,
});

/** A file for all platforms that have a launch measurement. */
export const fileOf = (directives: Directive[]): IgvmFile => ({
  version: 1,
  arch: 'x64',
  platforms: [
    platform(MASK.snp, PLATFORM_TYPE.SEV_SNP),
    platform(MASK.tdx, PLATFORM_TYPE.TDX),
    platform(MASK.vbs, PLATFORM_TYPE.VSM_ISOLATION),
  ],
  initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: MASK.snp }],
  directives,
});

/** A run that starts at a page number; by default one page with data. */
export const run = (page: number, changes: Partial<PageDataDirective> = {}): PageDataDirective => ({
  type: 'pageData',
  gpa: page * PAGE_SIZE,
  pageCount: 1,
  flags: 0,
  dataType: PAGE_DATA_TYPE.NORMAL,
  compatibilityMask: ALL_PLATFORMS,
  content: bytesSource(new Uint8Array(PAGE_SIZE).fill(0x5a)),
  ...changes,
});

/** A boot processor's registers for SEV-SNP. */
export const vmsa = (gpa: number, cr0 = 0x31): Directive => {
  const data = new Uint8Array(PAGE_SIZE);
  new DataView(data.buffer).setBigUint64(0x158, BigInt(cr0), true);
  return { type: 'vpContext', format: 'snp', gpa, compatibilityMask: MASK.snp, vpIndex: 0, data };
};

const half = { r: new Uint8Array(72), s: new Uint8Array(72) };
const key = { curve: 2, qx: new Uint8Array(72), qy: new Uint8Array(72) };
/** An ID block that expects a launch digest. */
export const idBlock = (ld: Uint8Array): Directive => ({
  type: 'snpIdBlock',
  compatibilityMask: MASK.snp,
  authorKeyEnabled: false,
  ld,
  familyId: new Uint8Array(16),
  imageId: new Uint8Array(16),
  version: 1,
  guestSvn: 0,
  idKeyAlgorithm: 1,
  authorKeyAlgorithm: 0,
  idKeySignature: half,
  idPublicKey: key,
  authorKeySignature: half,
  authorPublicKey: key,
});

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The file as bytes. */
export async function written(file: IgvmFile): Promise<Buffer> {
  const sink = memorySink();
  await writeIgvm(file, sink, { crc32, sha256Hex });
  return Buffer.from(sink.bytes());
}
