import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildManifest } from '../builder/build-manifest';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { checkNotInputs, createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { sha256OfSource } from '../files/hashes';
import { openFileSource } from '../files/file-source';
import { compareLocks } from '../lock/compare-locks';
import { readLock } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import type { LockedPlatform } from '../lock/lock-schema';
import { mismatchText, verifyImage } from '../lock/verify-image';
import { loadManifest } from '../manifest/load-manifest';
import { type Launch, launchesOf } from '../measurement/launches';
import { type MeasuredPlatform, measuredPlatformOf } from '../igvm/platforms';
import { resolveResources } from '../resources/resolve-resources';
import { corimOfGuests } from '../endorsement/corim';
import { signedEnvelope, sigstoreBundle, type StatementSigner } from './dsse';
import { type ExpectedIdentity, identityInImage } from './expectations';
import { goSevGuestPolicy, provenanceStatement, STATEMENT_TYPE, trusteeMessage } from './reference-formats';

/** The formats of verifiers. */
export const REFERENCE_FORMATS = ['trustee', 'corim', 'go-sev-guest', 'in-toto'] as const;

export type ReferenceFormat = (typeof REFERENCE_FORMATS)[number];

/** Parses the formats in options; undefined if there are none. @throws IgvmError USAGE */
export function referenceFormatsOf(names: readonly string[]): ReferenceFormat[] | undefined {
  const unknown = names.find((name) => !(REFERENCE_FORMATS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new IgvmError(
      'USAGE',
      `"${unknown}" is not a format of reference values (known: ${REFERENCE_FORMATS.join(', ')})`,
    );
  }
  return names.length === 0 ? undefined : (names as ReferenceFormat[]);
}

/** The signer in options, if any. @throws IgvmError STATEMENT_SIGNING for options that contradict each other */
export function signerOf(
  { key, command, publicKey }: { key?: string; command?: readonly string[]; publicKey?: string },
  at: (path: string) => string,
): StatementSigner | undefined {
  const isCommand = command !== undefined || publicKey !== undefined;
  if (key !== undefined && !isCommand) return { kind: 'key', path: at(key) };
  if (!isCommand) return undefined;
  if (key !== undefined || command === undefined || publicKey === undefined) {
    throw new IgvmError('STATEMENT_SIGNING', 'a statement is signed with a key, or with a command and its public key');
  }
  return { kind: 'command', words: command, publicKey: at(publicKey) };
}

/** The reference values of a guest. */
export interface ReferenceGuest {
  platform: MeasuredPlatform;
  digests: { digest: Uint8Array; launches: Launch[] }[];
  /** For SEV-SNP. */
  policy: bigint | undefined;
  debug: boolean;
  svn: number | undefined;
  /** From an ID block in the image. */
  identity: ExpectedIdentity | undefined;
}

/** A file that an image was built from. */
export interface ReferenceInput {
  /** Its place in the manifest. */
  name: string;
  /** Its name in messages. */
  path: string;
  sha256: string;
}

export interface ReferenceImage {
  /** File name. */
  name: string;
  sha256: string;
  guests: ReferenceGuest[];
  /** The manifest first. */
  inputs: ReferenceInput[];
}

export interface ReferenceRequest {
  /** Path of the image. */
  image: string;
  /** Path of its lock. The image must match it, and its launches are used. */
  lock?: string;
  /** The launches to use if there is no lock. Default: the one that documents endorse. */
  launches?: readonly Launch[];
  /** Path of the manifest, whose files a statement names. The image is built again to check that it comes from them. */
  manifest?: string;
  workspaceRoot?: string;
  /** The output folder. */
  output: string;
  /** Default: all formats for which there are values. */
  formats?: readonly ReferenceFormat[];
  /** The signer of the in-toto statement. Default: it is not signed. */
  signer?: StatementSigner;
  /** The form of a signed statement. Default: a DSSE envelope. */
  envelope?: 'dsse' | 'sigstore';
  /** What messages call a path. Default: the path. */
  display?: (path: string) => string;
}

export interface ReferenceReport {
  /** Names of the files in the folder. */
  files: string[];
  warnings: string[];
}

/** The names of all files that can be written. An earlier run may have left more of them, with outdated digests. */
const OWN_NAME = /^(?:trustee\.json|corim\.cbor|go-sev-guest-\d+\.textproto|provenance(?:\.dsse|\.sigstore)?\.json)$/;

/**
 * Writes reference values of an image's guests in the formats of verifiers. All files appear together, or none does. Other files of an
 * earlier run are removed, because they would still vouch for another image.
 * @throws IgvmError LOCK_MISMATCH and others of `verifyImage`; MEASUREMENT_UNAVAILABLE for an image without measured guests;
 *   MEASUREMENT_REFUSED when a requested VMM refuses the image, because the values would lack its launches; BUILD_FIRST when the
 *   manifest builds a different image now; STATEMENT_SIGNING; FILE_UNREADABLE, FILE_UNWRITABLE; those of manifests and resources
 */
export async function writeReferenceValues(request: ReferenceRequest): Promise<ReferenceReport> {
  const { output, formats = REFERENCE_FORMATS, signer, envelope = 'dsse', display = (path) => path } = request;
  if (signer !== undefined && !formats.includes('in-toto')) {
    throw new IgvmError('STATEMENT_SIGNING', 'only the in-toto statement is signed, and it is not among the formats');
  }
  const image = await referenceImage(request);
  const documents = documentsOf(image, formats);
  const statement = documents.get('provenance.json');
  if (signer !== undefined && statement !== undefined) {
    const { envelope: signed, key } = signedEnvelope(STATEMENT_TYPE, statement, signer);
    documents.delete('provenance.json');
    const content = envelope === 'dsse' ? signed : sigstoreBundle(signed, key);
    documents.set(`provenance.${envelope}.json`, jsonBytes(content));
  }
  await writeAll(output, documents, request);
  const debuggable = image.guests.filter(({ debug }) => debug).map(({ platform }) => platform);
  return {
    files: [...documents.keys()],
    warnings:
      debuggable.length === 0
        ? []
        : [
            `the host may debug the guest of ${printable(display(request.image))} (${debuggable.join(', ')}), so these values vouch for a guest that can have no secrets`,
          ],
  };
}

const jsonBytes = (value: object): Buffer => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);

function documentsOf(image: ReferenceImage, formats: readonly ReferenceFormat[]): Map<string, Uint8Array> {
  const documents = new Map<string, Uint8Array>();
  const { name, guests } = image;
  if (formats.includes('trustee')) documents.set('trustee.json', jsonBytes(trusteeMessage(guests)));
  if (formats.includes('corim')) {
    const referenced = guests.map(({ platform, digests, svn }) => ({
      platform,
      guestSvn: svn,
      digests: digests.map(({ digest }) => digest),
    }));
    documents.set('corim.cbor', corimOfGuests(name, referenced));
  }
  if (formats.includes('go-sev-guest')) {
    const snp = guests.find(({ platform }) => platform === 'snp');
    for (const [index, digest] of (snp?.digests ?? []).entries()) {
      documents.set(`go-sev-guest-${index + 1}.textproto`, Buffer.from(goSevGuestPolicy(snp!, digest)));
    }
  }
  if (formats.includes('in-toto')) documents.set('provenance.json', jsonBytes(provenanceStatement(image)));
  return documents;
}

async function writeAll(
  folder: string,
  documents: ReadonlyMap<string, Uint8Array>,
  request: ReferenceRequest,
): Promise<void> {
  const { image, lock, manifest, signer } = request;
  const paths = [...documents.keys()].map((name) => join(folder, name));
  const keys = signer === undefined ? [] : [signer.kind === 'key' ? signer.path : signer.publicKey];
  checkNotInputs(
    paths,
    [image, lock, manifest, ...keys].filter((each) => each !== undefined),
  );
  const outputs = createOutputSet();
  try {
    for (const [name, content] of documents) await outputs.add(join(folder, name)).writeAll(content);
    await outputs.commit();
  } finally {
    await outputs.abort();
  }
  for (const name of readdirSync(folder)) {
    if (OWN_NAME.test(name) && !documents.has(name)) rmSync(join(folder, name));
  }
}

async function referenceImage(request: ReferenceRequest): Promise<ReferenceImage> {
  const { image, lock: path, launches, display = (each) => each } = request;
  if (path !== undefined) await checkAgainstLock(image, path, display);
  const { lock, sha256, identities } = await withImage(image, async ({ file, source }) => {
    const { lock: own, refusals } =
      path === undefined
        ? await lockImage(file, { image, launches })
        : { lock: readLock(path, display(path)), refusals: [] };
    const [refusal] = refusals;
    if (refusal !== undefined) throw new IgvmError('MEASUREMENT_REFUSED', refusal, { file: display(image) });
    return {
      lock: own,
      sha256: sha256OfSource(source),
      identities: new Map(
        file.platforms.map((header) => [measuredPlatformOf(header), identityInImage(file, header.compatibilityMask)]),
      ),
    };
  });
  const guests = Object.entries(lock.platforms).flatMap(([name, locked]): ReferenceGuest[] => {
    const platform = name as MeasuredPlatform;
    if (locked.digests === undefined) return [];
    const found = identities.get(platform);
    return [referenceGuest(platform, locked, found?.hasIdBlock === true ? found.identity : undefined)];
  });
  if (guests.length === 0) {
    throw new IgvmError('MEASUREMENT_UNAVAILABLE', 'no platform of the file has a launch measurement', {
      file: display(image),
    });
  }
  return { name: basename(image), sha256, guests, inputs: await inputsOf(request) };
}

async function checkAgainstLock(image: string, lock: string, display: (path: string) => string): Promise<void> {
  const report = await verifyImage({ image, lock, display });
  if (report.differences.length === 0) return;
  throw new IgvmError('LOCK_MISMATCH', mismatchText(report, display(lock)), { file: display(image) });
}

function referenceGuest(
  platform: MeasuredPlatform,
  locked: LockedPlatform,
  identity: ExpectedIdentity | undefined,
): ReferenceGuest {
  const policy = locked.policy?.['value'];
  return {
    platform,
    digests: (locked.digests ?? []).map(({ digest, launches = [] }) => ({
      digest: Buffer.from(digest, 'hex'),
      launches: launches.flatMap(launchesOf),
    })),
    policy: typeof policy === 'string' ? BigInt(policy) : undefined,
    debug: locked.debug,
    svn: locked.svn,
    identity,
  };
}

/**
 * The manifest, and the files that it names for this image. Checks that the image is built from them: otherwise a statement that names
 * them would be false.
 */
async function inputsOf(request: ReferenceRequest): Promise<ReferenceInput[]> {
  const { manifest, workspaceRoot, display = (path) => path } = request;
  if (manifest === undefined) return [];
  await checkBuiltFrom(manifest, request);
  const digestOf = (path: string): string => {
    const source = openFileSource(path);
    try {
      return sha256OfSource(source);
    } finally {
      source.close();
    }
  };
  const loaded = loadManifest(manifest, { within: workspaceRoot, display: display(manifest) });
  const resources = await resolveResources(loaded, { workspaceRoot, display });
  return [
    { name: 'manifest', path: display(manifest), sha256: digestOf(loaded.path) },
    ...[...resources].map(([name, { path, display: shown }]) => ({ name, path: shown, sha256: digestOf(path) })),
  ];
}

/** Builds the image again and compares everything in its lock. Signatures may have been added since. */
async function checkBuiltFrom(
  manifest: string,
  { image, workspaceRoot, display = (path) => path }: ReferenceRequest,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-values-'));
  try {
    const { lock: present, embedCorim } = await withImage(image, async ({ file }) => ({
      lock: (await lockImage(file, {})).lock,
      embedCorim: file.initializations.some(({ type }) => type === 'corimDocument'),
    }));
    const output = join(folder, 'again.igvm');
    await buildManifest({ manifest, output, workspaceRoot, display, embedCorim });
    const again = await withImage(output, async ({ file }) => (await lockImage(file, {})).lock);
    const [difference] = compareLocks(again, present);
    if (difference === undefined) return;
    const { platform = 'the file', changes, digests } = difference;
    const what = changes[0] ?? (digests.length > 0 ? 'the launch digest differs' : 'it has other guests');
    throw new IgvmError('BUILD_FIRST', `it is not what ${display(manifest)} builds now: ${platform}: ${what}`, {
      file: display(image),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
