import { encodeProductPolicy } from './product-policy';

const POLICY = {
  require_ephemeral_vmgs: true,
  require_secure_boot: true,
  require_secure_boot_vars: true,
  require_bcd_integrity: true,
  custom_uefi_json: 'ZGVhZGJlZWY=',
};
const NOTHING = {
  require_ephemeral_vmgs: false,
  require_secure_boot: false,
  require_secure_boot_vars: false,
  require_bcd_integrity: false,
  custom_uefi_json: '',
};
const LIMIT = 4072;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const MAGIC = '088098bd82c5e990a44f';

describe('encodeProductPolicy', () => {
  it('wraps the fields of a product in messages that name the product, after the magic number', () => {
    expect(hex(encodeProductPolicy({ sivm: POLICY }, LIMIT))).toBe(
      `${MAGIC}12160a140a1208011001180120012a086465616462656566`,
    );
  });

  it('leaves out fields that are false or empty, but not the product itself', () => {
    expect(hex(encodeProductPolicy({ sivm: NOTHING }, LIMIT))).toBe(`${MAGIC}12020a00`);
    const cwcow = { ...NOTHING, require_secure_boot: true, custom_uefi_json: 'QQ==', require_secure_avic: true };
    expect(hex(encodeProductPolicy({ cwcow }, LIMIT))).toBe(`${MAGIC}120b12090a0710012a01413001`);
  });

  it('needs a custom UEFI JSON for fields that are checked against it', () => {
    for (const name of ['require_secure_boot_vars', 'require_bcd_integrity'] as const) {
      const sivm = { ...NOTHING, require_secure_boot: true, [name]: true };
      expect(() => encodeProductPolicy({ sivm }, LIMIT)).toThrow(
        expect.objectContaining({
          code: 'CONFIG_UNSUPPORTED',
          where: { jsonPath: ['image', 'openhcl', 'product_policy', 'sivm', 'custom_uefi_json'] },
        }) as Error,
      );
      expect(() => encodeProductPolicy({ sivm: { ...sivm, require_secure_boot: false } }, LIMIT)).not.toThrow();
    }
  });

  it('may use all available bytes, but no more', () => {
    const sivm = { ...NOTHING, custom_uefi_json: Buffer.alloc(300).toString('base64') };
    const { length } = encodeProductPolicy({ sivm }, LIMIT);
    expect(encodeProductPolicy({ sivm }, length)).toHaveLength(length);
    expect(() => encodeProductPolicy({ sivm }, length - 1)).toThrow(/there is room for/);
  });

  it.each(['***', 'QQ', 'QR==', 'Q Q=', '_-=='])('rejects %j, which is not strict base64', (text) => {
    expect(() => encodeProductPolicy({ sivm: { ...NOTHING, custom_uefi_json: text } }, LIMIT)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID' }) as Error,
    );
  });
});
