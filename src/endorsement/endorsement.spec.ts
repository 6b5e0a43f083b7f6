import { corimDocument, corimDocumentSize } from './corim';
import { identityDocument, parseSnpIdBlock, SNP_IDENTITY, snpIdBlock } from './guest-documents';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const SNP_DIGEST = Buffer.from(
  '92AAEFE676C1C8912DE116F7FDAB6F6895A97B4BC92D2E24AFFF73EB845973C3077E2BA0AA9627CB69EFC3266283A5BC',
  'hex',
);

describe('identity document', () => {
  it('is the same as igvmfilegen’s: compact JSON with a newline', () => {
    const document = identityDocument({ platform: 'snp', digest: SNP_DIGEST, guestSvn: 1, debugEnabled: true });
    expect(Buffer.from(document).toString()).toBe(
      '{"environment":{"class_id":"7fb00ee4-a7ff-11ed-9e2f-00155d09de56"},"series":[{"reference":{"snp_ld":"92AAEFE676C1C8912DE116F7FDAB6F6895A97B4BC92D2E24AFFF73EB845973C3077E2BA0AA9627CB69EFC3266283A5BC"},"endorsement":{"snp_isvsvn":1,"build_info":{"debug_build":true}}}]}\n',
    );
  });

  it.each([
    ['tdx', '"tdx_mrtd":"AB"', '"tdx_isvsvn":4294967295'],
    ['vbs', '"vbs_boot_digest":"AB"', '"vbs_isvsvn":4294967295'],
  ] as const)('names the digest of %s', (platform, digest, svn) => {
    const bytes = identityDocument({
      platform,
      digest: Uint8Array.of(0xab),
      guestSvn: 2 ** 32 - 1,
      debugEnabled: false,
    });
    expect(Buffer.from(bytes).toString()).toContain(digest);
    expect(Buffer.from(bytes).toString()).toContain(svn);
  });
});

describe('CoRIM document', () => {
  it('is the same as the igvm crate’s', () => {
    expect(hex(corimDocument('snp', SNP_DIGEST, 1))).toBe(
      'd901f5a300781e414d442f5345562d534e502f6c61756e63682d6d6561737572656d656e740181d901fa58efa201a10078243737653830' +
        '3631652d343633342d356535332d613834382d64316430396539393638343304a2008182a100a20163414d4402675345562d534e5081' +
        'a2006b4d4541535552454d454e5401a1028182075830' +
        hex(SNP_DIGEST) +
        '08818282a100a20163414d4402675345562d534e5080818281a2006b4d4541535552454d454e5401a1028182075830' +
        hex(SNP_DIGEST) +
        '81a101a101d90228010378' +
        '2c7461673a6d6963726f736f66742e636f6d2c323032363a6c61756e63682d6d6561737572656d656e742f7631',
    );
  });

  it.each([
    ['snp', 48],
    ['tdx', 48],
    ['vbs', 32],
  ] as const)('has a known size before the digest is computed: %s', (platform, size) => {
    for (const svn of [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1]) {
      expect(corimDocument(platform, Buffer.alloc(size, 0xff), svn)).toHaveLength(corimDocumentSize(platform, svn));
    }
  });
});

describe('SNP ID block', () => {
  const block = { ld: SNP_DIGEST, guestSvn: 1, policy: 0xb001fn, ...SNP_IDENTITY.openhcl };

  it('has the structure that the firmware expects', () => {
    expect(hex(snpIdBlock(block))).toBe(
      `${hex(SNP_DIGEST)}000000010000000000000000000000006f70656e68636c00000000000000000001000000010000001f000b0000000000`,
    );
  });

  it('is read as it was written', () => {
    expect(parseSnpIdBlock(snpIdBlock(block))).toMatchObject({ guestSvn: 1, version: 1, policy: 0xb001fn });
    expect(hex(parseSnpIdBlock(snpIdBlock({ ...block, ...SNP_IDENTITY.linuxDirect })).imageId)).toBe(
      '6c696e75782d64697265637400000000',
    );
  });

  it('refuses bytes of another length', () => {
    expect(() => parseSnpIdBlock(new Uint8Array(95))).toThrow(expect.objectContaining({ code: 'ID_BLOCK_INVALID' }));
  });
});
