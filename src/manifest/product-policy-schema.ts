/** OpenHCL's measured product policies. Source: openvmm openhcl/product_policy/src. Unknown keys are errors there. */
import * as z from 'zod/mini';
import { closedStruct, flag, tagged, variants } from './schema-parts';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const phrase = 'base64 text of the standard alphabet with padding';

/** Bits that padding leaves unused must be zero, as the decoder of upstream demands. */
const isCanonical = (value: string) => Buffer.from(value, 'base64').toString('base64') === value;

const uefiKeys = {
  require_ephemeral_vmgs: flag('Reserved: demand an ephemeral guest state.'),
  require_secure_boot: flag('Demand secure boot.'),
  require_secure_boot_vars: flag('Reserved: demand the secure boot variables.'),
  require_bcd_integrity: flag('Reserved: demand the hash of the boot configuration data.'),
  custom_uefi_json: z
    .string({ error: () => phrase })
    .check(z.refine((value) => BASE64.test(value) && isCanonical(value), { error: () => phrase }))
    .register(z.globalRegistry, {
      description:
        'Custom UEFI JSON in base64. May be empty unless secure boot and one of its reserved demands are set.',
    }),
};

export const productPolicySchema = variants(
  {},
  [
    tagged({ sivm: closedStruct(uefiKeys, 'The Sivm product.') }),
    tagged({
      cwcow: closedStruct(
        { ...uefiKeys, require_secure_avic: flag('Reserved: demand secure AVIC.') },
        'The Cwcow product.',
      ),
    }),
  ],
  "A policy that becomes part of the paravisor's measured configuration.",
);
