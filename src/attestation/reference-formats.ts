import { type Launch, launchLabel } from '../measurement/launches';
import { MEASURED_PLATFORMS } from '../igvm/platforms';
import { launchJson } from '../measurement/measure';
import { hex } from '../errors/printable';
import type { ReferenceGuest, ReferenceImage } from './reference-values';

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/**
 * A message for the reference value provider of trustee (confidential-containers/trustee, rvps: message version 0.1.0, extractor `sample`).
 * The names are those in trustee's default policy (ear_default_policy_cpu.rego). The versions of the firmware (`snp_bootloader` and others)
 * are left out, because the verifier decides about them.
 */
export function trusteeMessage(guests: readonly ReferenceGuest[]): object {
  const values: Record<string, unknown> = {};
  for (const { platform, digests, policy } of guests) {
    const measurements = digests.map(({ digest }) => hexOf(digest));
    if (platform === 'tdx') values['mr_td'] = measurements;
    if (platform !== 'snp') continue;
    values['snp_launch_measurement'] = measurements;
    if (policy === undefined) continue;
    values['snp_guest_abi_major'] = Number((policy >> 8n) & 0xffn);
    values['snp_guest_abi_minor'] = Number(policy & 0xffn);
    values['snp_smt_allowed'] = ((policy >> 16n) & 1n) === 1n;
    values['snp_single_socket'] = ((policy >> 20n) & 1n) === 1n;
  }
  const payload = Buffer.from(JSON.stringify(values)).toString('base64');
  return { version: '0.1.0', type: 'sample', payload };
}

/**
 * A file for the option `-config` of go-sev-guest's tool `check` (google/go-sev-guest, proto/check.proto: Config), in the text format of
 * protocol buffers. Its policy has room for one launch digest. The tool has options for report data and versions of the firmware.
 */
export function goSevGuestPolicy(
  { policy, svn, identity }: ReferenceGuest,
  { digest, launches }: ReferenceGuest['digests'][number],
): string {
  const bytes = (value: Uint8Array | string): string =>
    `"${Array.from(Buffer.from(value as string, typeof value === 'string' ? 'hex' : undefined), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`;
  const fields: [name: string, value: string][] = [
    ['measurement', bytes(digest)],
    ...(policy === undefined ? [] : [['policy', hex(policy)] as [string, string]]),
    ['vmpl', '{ value: 0 }'],
  ];
  // A report has these fields only if there is an ID block.
  if (identity !== undefined) {
    fields.push(['minimum_guest_svn', String(identity.svn ?? svn ?? 0)]);
    if (identity.familyId !== undefined) fields.push(['family_id', bytes(identity.familyId)]);
    if (identity.imageId !== undefined) fields.push(['image_id', bytes(identity.imageId)]);
    if (identity.idKeyDigest !== undefined) {
      fields.push(['require_id_block', 'true'], ['trusted_id_key_hashes', bytes(identity.idKeyDigest)]);
    }
    if (identity.authorKeyDigest !== undefined) {
      fields.push(['require_author_key', 'true'], ['trusted_author_key_hashes', bytes(identity.authorKeyDigest)]);
    }
  }
  const comments = launches.map((launch) => `# ${launchLabel(launch)}\n`).join('');
  return `${comments}policy {\n${fields.map(([name, value]) => `  ${name}${value.startsWith('{') ? '' : ':'} ${value}\n`).join('')}}\n`;
}

/** The payload type of an envelope that contains a statement (in-toto attestation framework, envelope). */
export const STATEMENT_TYPE = 'application/vnd.in-toto+json';

/** Identifies the way in which our images are built. */
const BUILD_TYPE = 'https://github.com/nx-igvm/nx-igvm/blob/main/docs/reference-values.md#build-type';

/**
 * An in-toto statement (version 1) with SLSA's provenance (version 1): the image, the files that it was built from, and the launch
 * measurements of its guests. It doesn't mention time or place, so an image has the same statement on every machine.
 */
export function provenanceStatement({ name, sha256, guests, inputs }: ReferenceImage): object {
  const [manifest] = inputs;
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name, digest: { sha256 } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: { image: name, ...(manifest === undefined ? {} : { manifest: manifest.path }) },
        resolvedDependencies: inputs.map(({ name: what, path, sha256: digest }) => ({
          name: what,
          digest: { sha256: digest },
          annotations: { path },
        })),
      },
      runDetails: {
        builder: { id: BUILDER, version: { 'nx-igvm': packageVersion() } },
        byproducts: guests.flatMap(measurementsOf),
      },
    },
  };
}

const BUILDER = 'https://github.com/nx-igvm/nx-igvm';

const packageVersion = (): string => (require('../../package.json') as { version: string }).version;

/** A launch measurement is not the hash of a file, so it is given as content and not as a digest. */
function measurementsOf({ platform, digests, policy, debug, svn }: ReferenceGuest): object[] {
  const { label, algorithm } = MEASURED_PLATFORMS[platform];
  return digests.flatMap(({ digest, launches }) => {
    const each: (Launch | undefined)[] = launches.length === 0 ? [undefined] : launches;
    return each.map((launch) => ({
      name: `launch measurement: ${label}${launch === undefined ? '' : `, ${launchLabel(launch)}`}`,
      content: Buffer.from(digest).toString('base64'),
      mediaType: 'application/octet-stream',
      annotations: {
        platform,
        algorithm,
        measurement: hexOf(digest),
        ...launchJson(launch),
        ...(policy === undefined ? {} : { policy: hex(policy) }),
        debug,
        ...(svn === undefined ? {} : { svn }),
      },
    }));
  });
}
