import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import type { ProductPolicy } from '../../manifest/model';
import { StructWriter } from '../../memory/struct-writer';

/** Field numbers of the encoded policy (openvmm openhcl/product_policy/src); they are part of the measured bytes. */
const ENVELOPE = { magic: 1, policy: 2 };
const PRODUCT = { sivm: 1, cwcow: 2 } as const;
/** The only field of a product: a message with the product's own fields. */
const PRODUCT_FIELDS = 1;
const FIELD = {
  require_ephemeral_vmgs: 1,
  require_secure_boot: 2,
  require_secure_boot_vars: 3,
  require_bcd_integrity: 4,
  custom_uefi_json: 5,
  require_secure_avic: 6,
} as const;

/** "OHCLPOL" and a zero. */
const MAGIC = 0x4f48434c504f4c00n;

/** Protobuf wire types. */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

/**
 * A product policy as OpenHCL reads it: protobuf, in which fields that are false or empty are left out.
 * @param limit the available bytes
 * @throws IgvmError CONFIG_UNSUPPORTED when the policy needs a custom UEFI JSON and has none, or is too long;
 *   MANIFEST_INVALID for a custom UEFI JSON that is not base64
 */
export function encodeProductPolicy(policy: ProductPolicy, limit: number): Uint8Array {
  const [product, body] = 'sivm' in policy ? (['sivm', policy.sivm] as const) : (['cwcow', policy.cwcow] as const);
  const jsonWhere = { jsonPath: ['image', 'openhcl', 'product_policy', product, 'custom_uefi_json'] };
  const json = fromBase64(body.custom_uefi_json, jsonWhere);
  if (body.require_secure_boot && (body.require_secure_boot_vars || body.require_bcd_integrity) && json.length === 0) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'a product policy that requires secure boot with its variables or BCD integrity needs a custom_uefi_json',
      jsonWhere,
    );
  }
  const fields = new StructWriter();
  for (const [name, number] of Object.entries(FIELD)) {
    if (name === 'custom_uefi_json') {
      if (json.length > 0) bytesField(fields, number, json);
    } else if ((body as unknown as Record<string, unknown>)[name] === true) {
      varint(fields, BigInt((number << 3) | VARINT));
      varint(fields, 1n);
    }
  }
  const wrapped = new StructWriter();
  if (fields.length > 0) bytesField(wrapped, PRODUCT_FIELDS, fields.finish());
  const choice = new StructWriter();
  bytesField(choice, PRODUCT[product], wrapped.finish());
  const envelope = new StructWriter();
  varint(envelope, BigInt((ENVELOPE.magic << 3) | VARINT));
  varint(envelope, MAGIC);
  bytesField(envelope, ENVELOPE.policy, choice.finish());
  if (envelope.length > limit) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      `the product policy takes ${envelope.length} bytes, and there is room for ${limit}`,
      { jsonPath: ['image', 'openhcl', 'product_policy'] },
    );
  }
  return envelope.finish();
}

function bytesField(writer: StructWriter, number: number, bytes: Uint8Array): void {
  varint(writer, BigInt((number << 3) | LENGTH_DELIMITED));
  varint(writer, BigInt(bytes.length));
  writer.raw(bytes);
}

function varint(writer: StructWriter, value: bigint): void {
  let rest = value;
  while (rest >= 0x80n) {
    writer.u8(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  writer.u8(Number(rest));
}

/** Strict standard base64, with padding and without other characters, as in upstream's decoder. */
function fromBase64(text: string, where: ErrorWhere): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) {
    throw new IgvmError('MANIFEST_INVALID', 'custom_uefi_json of the product policy is not base64', where);
  }
  return bytes;
}
