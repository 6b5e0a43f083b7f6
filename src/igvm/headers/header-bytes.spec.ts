import {
  CORIM_DATA,
  FIXED_HEADER,
  FIXED_HEADER_V2_PART,
  fixedHeaderSize,
  PAGE_DATA,
  PARAMETER,
  PARAMETER_AREA,
  PLAIN_DIRECTIVES,
  PLAIN_INITIALIZATIONS,
  SUPPORTED_PLATFORM,
  VP_CONTEXT,
} from './header-tables';
import type { Struct } from './struct';

const filled = (size: number, byte: number): Uint8Array => new Uint8Array(size).fill(byte);
const repeated = (size: number, byte: string): string => byte.repeat(size);

/** Every structure of the format: its values, and its bytes with one field per line. Written by hand from igvm_defs. */
const STRUCTURES: Record<string, readonly [of: Struct<never>, value: object, ...fields: string[]]> = {
  IGVM_FIXED_HEADER: [
    FIXED_HEADER as Struct<never>,
    {
      magic: 0x4d564749,
      formatVersion: 2,
      variableHeaderOffset: 0x20,
      variableHeaderSize: 0x1234,
      totalFileSize: 0x89abcdef,
      checksum: 0xfedcba98,
    },
    '4947564d',
    '02000000',
    '20000000',
    '34120000',
    'efcdab89',
    '98badcfe',
  ],
  'IGVM_FIXED_HEADER_V2, second part': [
    FIXED_HEADER_V2_PART as Struct<never>,
    { architecture: 1, pageSize: 4096 },
    '01000000',
    '00100000',
  ],
  IGVM_VHS_SUPPORTED_PLATFORM: [
    SUPPORTED_PLATFORM as Struct<never>,
    {
      compatibilityMask: 0x80000001,
      highestVtl: 2,
      platformType: 3,
      platformVersion: 0x102,
      sharedGpaBoundary: 0x0000_8000_0000_0001n,
    },
    '01000080',
    '02',
    '03',
    '0201',
    '0100000000800000',
  ],
  IGVM_VHS_GUEST_POLICY: [
    PLAIN_INITIALIZATIONS.guestPolicy as Struct<never>,
    { policy: 0xfedc_ba98_7654_3210n, compatibilityMask: 2 },
    '1032547698badcfe',
    '02000000',
    '00000000',
  ],
  IGVM_VHS_RELOCATABLE_REGION: [
    PLAIN_INITIALIZATIONS.relocatableRegion as Struct<never>,
    {
      compatibilityMask: 1,
      vpIndex: 0x203,
      vtl: 2,
      isVtl2: true,
      applyPc: false,
      applyGdtr: true,
      relocationAlignment: 0x200000,
      gpa: 0x1_0000_0000,
      size: 0x600000,
      minimumGpa: 0x400000,
      maximumGpa: 0x100_0000_0000,
    },
    '01000000',
    '0302',
    '02',
    '05',
    '0000200000000000',
    '0000000001000000',
    '0000600000000000',
    '0000400000000000',
    '0000000000010000',
  ],
  IGVM_VHS_PAGE_TABLE_RELOCATION: [
    PLAIN_INITIALIZATIONS.pageTableRelocation as Struct<never>,
    { compatibilityMask: 1, vpIndex: 0x203, vtl: 2, gpa: 0x1_0000_1000, size: 0x20000, usedSize: 0x5000 },
    '01000000',
    '0302',
    '02',
    '00',
    '0010000001000000',
    '0000020000000000',
    '0050000000000000',
  ],
  IGVM_VHS_CORIM_DATA: [
    CORIM_DATA as Struct<never>,
    { compatibilityMask: 4, fileOffset: 0x1234, size: 0x5678 },
    '04000000',
    '34120000',
    '78560000',
    '00000000',
  ],
  IGVM_VHS_CCA_POLICY: [
    PLAIN_INITIALIZATIONS.ccaPolicy as Struct<never>,
    {
      compatibilityMask: 2,
      attributesRequiredZeroes: 0x0102_0304_0506_0708n,
      attributesRequiredOnes: 0xf0n,
      hashAlgorithm: 1,
      lfaPolicy: 2,
    },
    '02000000',
    '00000000',
    '0807060504030201',
    'f000000000000000',
    '01',
    '02',
    '000000000000',
  ],
  IGVM_VHS_PAGE_DATA: [
    PAGE_DATA as Struct<never>,
    { gpa: 0x1_2345_6000, compatibilityMask: 3, fileOffset: 0xabcd, flags: 6, dataType: 0x102 },
    '0060452301000000',
    '03000000',
    'cdab0000',
    '06000000',
    '0201',
    '0000',
  ],
  IGVM_VHS_PARAMETER_AREA: [
    PARAMETER_AREA as Struct<never>,
    { size: 0x1_0000_3000, index: 7, fileOffset: 0xabcd },
    '0030000001000000',
    '07000000',
    'cdab0000',
  ],
  IGVM_VHS_PARAMETER: [PARAMETER as Struct<never>, { index: 7, byteOffset: 0x1234 }, '07000000', '34120000'],
  IGVM_VHS_PARAMETER_INSERT: [
    PLAIN_DIRECTIVES.parameterInsert as Struct<never>,
    { gpa: 0x1_0000_2000, compatibilityMask: 5, index: 7 },
    '0020000001000000',
    '05000000',
    '07000000',
  ],
  IGVM_VHS_VP_CONTEXT: [
    VP_CONTEXT as Struct<never>,
    { gpa: 0xffff_ffff_f000, compatibilityMask: 2, fileOffset: 0xabcd, vpIndex: 0x102 },
    '00f0ffffffff0000',
    '02000000',
    'cdab0000',
    '0201',
    '0000',
  ],
  IGVM_VHS_REQUIRED_MEMORY: [
    PLAIN_DIRECTIVES.requiredMemory as Struct<never>,
    { gpa: 0x1_0000_0000, compatibilityMask: 3, size: 0xfffff000, vtl2Protectable: true },
    '0000000001000000',
    '03000000',
    '00f0ffff',
    '01000000',
    '00000000',
  ],
  IGVM_VHS_ERROR_RANGE: [
    PLAIN_DIRECTIVES.errorRange as Struct<never>,
    { gpa: 0x5000, compatibilityMask: 1, size: 0x1000 },
    '0050000000000000',
    '01000000',
    '00100000',
  ],
  IGVM_VHS_SNP_ID_BLOCK: [
    PLAIN_DIRECTIVES.snpIdBlock as Struct<never>,
    {
      compatibilityMask: 2,
      authorKeyEnabled: true,
      ld: filled(48, 0x01),
      familyId: filled(16, 0x02),
      imageId: filled(16, 0x03),
      version: 4,
      guestSvn: 5,
      idKeyAlgorithm: 6,
      authorKeyAlgorithm: 7,
      idKeySignature: { r: filled(72, 0x08), s: filled(72, 0x09) },
      idPublicKey: { curve: 0x0a, qx: filled(72, 0x0b), qy: filled(72, 0x0c) },
      authorKeySignature: { r: filled(72, 0x0d), s: filled(72, 0x0e) },
      authorPublicKey: { curve: 0x0f, qx: filled(72, 0x10), qy: filled(72, 0x11) },
    },
    '02000000',
    '01',
    '000000',
    repeated(48, '01'),
    repeated(16, '02'),
    repeated(16, '03'),
    '04000000',
    '05000000',
    '06000000',
    '07000000',
    repeated(72, '08'),
    repeated(72, '09'),
    '0a000000',
    '00000000',
    repeated(72, '0b'),
    repeated(72, '0c'),
    repeated(72, '0d'),
    repeated(72, '0e'),
    '0f000000',
    '00000000',
    repeated(72, '10'),
    repeated(72, '11'),
  ],
  IGVM_VHS_VBS_MEASUREMENT: [
    PLAIN_DIRECTIVES.vbsMeasurement as Struct<never>,
    {
      compatibilityMask: 1,
      version: 2,
      productId: 3,
      moduleId: 4,
      securityVersion: 5,
      policyFlags: 6,
      bootDigestAlgorithm: 7,
      signingAlgorithm: 8,
      bootMeasurementDigest: filled(64, 0x09),
      signature: filled(256, 0x0a),
      publicKey: filled(512, 0x0b),
    },
    '01000000',
    '02000000',
    '03000000',
    '04000000',
    '05000000',
    '06000000',
    '07000000',
    '08000000',
    repeated(64, '09'),
    repeated(256, '0a'),
    repeated(512, '0b'),
  ],
};

describe('a structure of the format', () => {
  it.each(Object.entries(STRUCTURES))('has these bytes: %s', (_, [of, value, ...fields]) => {
    const bytes = Uint8Array.from(Buffer.from(fields.join(''), 'hex'));
    expect(of.size).toBe(bytes.length);
    expect(of.read(new DataView(bytes.buffer), 0)).toEqual(value);
    const written = new Uint8Array(of.size).fill(0xaa);
    of.write(new DataView(written.buffer), 0, value as never);
    expect(written).toEqual(bytes);
  });

  it('is listed above if its header consists of a structure and nothing else', () => {
    const described = new Set<unknown>(Object.values(STRUCTURES).map(([of]) => of));
    for (const of of Object.values({ ...PLAIN_INITIALIZATIONS, ...PLAIN_DIRECTIVES })) expect(described).toContain(of);
  });
});

describe('the fixed header', () => {
  it('has 24 bytes in version 1 and 32 in version 2', () => {
    expect([fixedHeaderSize(1), fixedHeaderSize(2)]).toEqual([24, 32]);
  });
});
