/** igvm.lock.json, once: validation and the JSON Schema for editors come from here. */
import * as z from 'zod/mini';
import { closedStruct, count, list, optional, patternText, record, struct, text, word } from '../manifest/schema-parts';

const hex = (description: string) => patternText(/^0x[0-9a-f]{1,14}$/, 'a hexadecimal number like "0x1f"', description);
const sha256 = (description: string) => patternText(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits', description);

const digest = (digits: number, description: string) =>
  optional(patternText(new RegExp(`^[0-9A-F]{${digits}}$`), `${digits} upper-case hexadecimal digits`, description));

const KINDS = ['data', 'empty', 'unmeasured', 'shared', 'secrets', 'cpuid', 'parameters', 'vpContext'] as const;

const region = closedStruct(
  {
    gpa: hex('Address of the first byte in the guest.'),
    size: hex('Bytes.'),
    kind: word(KINDS, 'What the pages are to the launch.'),
    tag: optional(text("The map file's name for it.")),
    sha256: optional(sha256('Of its contents, where they count.')),
  },
  'Adjacent pages that belong together, for people and for saying what changed. The launch digest is what counts.',
);

const facts = (description: string) => record(text('As nx-igvm diff prints it.'), description);

const platform = <Digests extends z.ZodMiniType>(algorithm: string, digests: Digests) =>
  optional(
    closedStruct(
      {
        algorithm: z
          .literal(algorithm, { error: () => `"${algorithm}"` })
          .register(z.globalRegistry, { description: 'Of the launch digest.' }),
        digests,
        headers: facts("What the guest's headers say: policy, memory, parameters."),
        registers: facts('What its processors start with.'),
        regions: list(region, 'Its memory, by ascending address.'),
      },
      'What the guest of a platform is expected to be.',
    ),
  );

const perVmm = closedStruct(
  {
    hyperv: digest(96, 'As Hyper-V and OpenVMM launch the guest: in the order of the file.'),
    kvm: digest(96, 'As QEMU with KVM launches the guest.'),
  },
  'Expected launch digests by what launches the guest.',
);

const anyVmm = (digits: number) =>
  closedStruct({ any: digest(digits, 'Whatever launches the guest.') }, 'Expected launch digest.');

export const lockSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  lockVersion: count({ min: 1n, max: 1n }, 'Version of this format.'),
  platforms: closedStruct(
    {
      snp: platform('SHA-384', perVmm),
      tdx: platform('SHA-384', anyVmm(96)),
      vbs: platform('SHA-256', anyVmm(64)),
    },
    'The platforms of the image.',
  ),
}).register(z.globalRegistry, {
  title: 'Measurement lock',
  description:
    'What an IGVM image is expected to measure. Written by "nx run PROJECT:measure --update-lock", checked by its target verify, reviewed by people.',
});
