import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nativeImage, parameter } from '../../src/boot/native-image.fixture';
import { fileOf, patternPage, platformOf, runOf, vbsContext, written } from '../../src/igvm/igvm-file.fixture';
import { type Directive, type IgvmFile, PLATFORM_TYPE, type VpContextDirective } from '../../src/igvm/model';
import { bytesSource, EMPTY_SOURCE } from '../../src/memory/byte-source';
import { PAGE_SIZE } from '../../src/memory/page';

const FIXTURES = join(__dirname, '..', '..', 'src', 'igvm', 'fixtures');

const context = (format: VpContextDirective['format'], data: Uint8Array, gpa = 0): Directive => ({
  type: 'vpContext',
  format,
  gpa,
  compatibilityMask: 1,
  vpIndex: 0,
  data,
});

const area = (index: number, gpa: number): Directive[] => [
  { type: 'parameterArea', index, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
  { type: 'parameter', kind: 'memoryMap', index, byteOffset: 0 },
  { type: 'parameterInsert', index, gpa, compatibilityMask: 1 },
];

const pages = [runOf(0, patternPage(1)), runOf(PAGE_SIZE, EMPTY_SOURCE, { pageCount: 3 })];
const errorRange: Directive = { type: 'errorRange', gpa: 0x9000, size: PAGE_SIZE, compatibilityMask: 1 };

const VBS = fileOf([...pages, ...area(0, 0x8000), errorRange, context('vbs', vbsContext(0, 3))]);
const TDX = fileOf([...pages, ...area(0, 0x8000), errorRange], {
  version: 2,
  platforms: [platformOf(PLATFORM_TYPE.TDX)],
});
const SNP = fileOf(
  [
    ...pages,
    runOf(0x5000, EMPTY_SOURCE, { dataType: 1 }),
    runOf(0x6000, EMPTY_SOURCE, { dataType: 2 }),
    ...area(0, 0x8000),
    context('snp', new Uint8Array(PAGE_SIZE).fill(0x11, 0x400, 0x420), 0xffff_ffff_f000),
  ],
  {
    platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
    initializations: [
      { type: 'guestPolicy', policy: 0x3001fn, compatibilityMask: 1 },
      { type: 'versionString', value: 'fuzz 1.0' },
      { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(Uint8Array.of(0xd9, 0x01, 0xf5, 0xa0)) },
      { type: 'corimSignature', compatibilityMask: 1, content: bytesSource(Uint8Array.of(0xd2, 0x84, 0x40, 0xa0)) },
    ],
  },
);
const ALL: IgvmFile = {
  ...fileOf([runOf(0, patternPage(2), { compatibilityMask: 7 })]),
  platforms: [
    platformOf(PLATFORM_TYPE.SEV_SNP, 1),
    platformOf(PLATFORM_TYPE.TDX, 2),
    platformOf(PLATFORM_TYPE.VSM_ISOLATION, 4),
  ],
  initializations: [{ type: 'guestPolicy', policy: 0x3001fn, compatibilityMask: 1 }],
};

const bytesOf = async (file: IgvmFile): Promise<Uint8Array> => (await written(file)).bytes.slice();

/** Small images of every platform, one that boots, and one with every header. */
export async function igvmSeeds(): Promise<Uint8Array[]> {
  const seeds: Uint8Array[] = [];
  for (const file of [VBS, TDX, SNP, ALL, nativeImage(parameter(0, 0x3000_0000, 'memoryMap'))]) {
    seeds.push(await bytesOf(file));
  }
  for (const name of ['every-header-aarch64.igvm', 'every-header-x64.igvm', 'version-1.igvm']) {
    seeds.push(new Uint8Array(readFileSync(join(FIXTURES, name))));
  }
  return seeds;
}
