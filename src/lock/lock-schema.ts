/** igvm.lock.json, once: validation and the JSON Schema for editors come from here. */
import * as z from 'zod/mini';
import { MEASURED_PLATFORM_NAMES, MEASURED_PLATFORMS } from '../measurement/measured-platform';
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

/** Hexadecimal digits of a digest. */
const DIGITS = { 'SHA-256': 64, 'SHA-384': 96 } as const;

/** A platform whose lock has no digest would match whatever the image has. */
const someDigest = z.refine<object>((digests) => Object.values(digests).some((each) => each !== undefined), {
  error: () => 'at least one launch digest',
});

const perVmm = (digits: number) =>
  closedStruct(
    {
      hyperv: digest(digits, 'As Hyper-V and OpenVMM launch the guest: in the order of the file.'),
      kvm: digest(digits, 'As QEMU with KVM launches the guest.'),
    },
    'Expected launch digests by what launches the guest.',
  ).check(someDigest);

const anyVmm = (digits: number) =>
  closedStruct({ any: digest(digits, 'Whatever launches the guest.') }, 'Expected launch digest.').check(someDigest);

export const lockSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  lockVersion: count({ min: 1n, max: 1n }, 'Version of this format.'),
  platforms: closedStruct(
    Object.fromEntries(
      MEASURED_PLATFORM_NAMES.map((name) => {
        const { algorithm, dependsOnVmm } = MEASURED_PLATFORMS[name];
        return [name, platform(algorithm, dependsOnVmm ? perVmm(DIGITS[algorithm]) : anyVmm(DIGITS[algorithm]))];
      }),
    ),
    'The platforms of the image.',
  ),
}).register(z.globalRegistry, {
  title: 'Measurement lock',
  description:
    'What an IGVM image is expected to measure. Written by "nx run PROJECT:measure --update-lock", checked by its target verify, reviewed by people.',
});
