/** Secure Boot's variables as igvm-update 0.2.6 puts them into an image (bin/igvm-update.rs; virtfw-libefi 0.7.1: sb/certs, sb/dbx). */
import { X509Certificate } from 'node:crypto';
import { guidBytes } from '../formats/ovmf-table';
import files from './certificates.json';
import type { SecureBootProfile } from '../../manifest/model';
import type { OwnKeys, SecureBootVariable } from './own-keys';
import {
  encodeSignatureLists,
  listsOfUpdate,
  mergeSignatureLists,
  type Signature,
  type SignatureList,
  unsignedUpdate,
} from './signature-lists';

/** The owners of entries. */
const OWNERS = {
  microsoft: guidBytes('77fa9abd-0359-4d32-bd60-28f4e78f784b'),
  /** OvmfEnrollDefaultKeys, which edk2's program of that name uses. */
  ovmf: guidBytes('a0baa8a3-041d-48a8-bc87-c36d121b5e3d'),
} as const;

/** The public certificates of the profiles; the same files as those embedded in virtfw-libefi. */
const CERTIFICATES = {
  /** Red Hat Secure Boot (PK/KEK key 1). */
  redHatPlatformKey: { file: 'rh-pk-kek-2014.der', owner: OWNERS.microsoft },
  kek11: { file: 'ms-kek-2011.der', owner: OWNERS.microsoft },
  kek23: { file: 'ms-kek-2023.der', owner: OWNERS.microsoft },
  uefi11: { file: 'ms-uefi-2011.der', owner: OWNERS.microsoft },
  uefi23: { file: 'ms-uefi-2023.der', owner: OWNERS.microsoft },
  rom23: { file: 'ms-uefi-rom-2023.der', owner: OWNERS.microsoft },
  win11: { file: 'windows-2011.der', owner: OWNERS.microsoft },
  win23: { file: 'windows-2023.der', owner: OWNERS.microsoft },
  redHat24: { file: 'rh-uefi-2024.der', owner: OWNERS.ovmf },
} as const satisfies Record<string, { file: keyof typeof files; owner: Uint8Array }>;

type CertificateName = keyof typeof CERTIFICATES;

/** Certificates of the signature database (db) by the name of their profile. */
const PROFILES = {
  none: [],
  win11: ['win11', 'win23'],
  win23: ['win23'],
  'win+rom23': ['win23', 'rom23'],
  uefi11: ['uefi11', 'uefi23'],
  uefi23: ['uefi23'],
  'uefi+rom23': ['uefi23', 'rom23'],
  redhat: ['redHat24'],
  'redhat+rom': ['rom23', 'redHat24'],
  all: ['win11', 'win23', 'uefi11', 'uefi23', 'rom23'],
} as const satisfies Record<SecureBootProfile, readonly CertificateName[]>;

export type EfiArch = 'x64' | 'aa64';

/** Microsoft's lists of revoked programs, in the order in which they are merged. */
const REVOKED = {
  x64: ['dbx-2011.x86_64.auth', 'dbx-2023.x86_64.auth'],
  aa64: ['dbx-2011.aarch64.auth', 'dbx-2023.aarch64.auth'],
} as const satisfies Record<EfiArch, readonly (keyof typeof files)[]>;

/** Time of a db without certificates. Otherwise it is the time from which they are valid. */
const TIME_WITHOUT_CERTIFICATES = new Date(Date.UTC(2010, 0, 1));
/** The time of all updates of dbx. */
const DBX_TIME = new Date(Date.UTC(2010, 2, 6, 19, 17, 21));

/** SHA-256 of no bytes: an entry for a db that would otherwise be empty and so not exist. */
const HASH_OF_NOTHING = Buffer.from('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'hex');

/** The programs that Secure Boot should accept. */
export interface SecureBootOptions {
  /** Certificates whose programs may start. */
  profile: SecureBootProfile;
  /** Authenticode digests (SHA-256) of programs that may start. */
  hashes: readonly Uint8Array[];
  /** The platform whose revocations apply. */
  arch: EfiArch;
  /** Replace the built-in PK, KEK and dbx; in db they follow the profile's certificates. */
  own?: Readonly<Partial<Record<SecureBootVariable, OwnKeys>>>;
}

/** The owner of a user's certificates that have none. */
export const OWN_KEYS_OWNER = OWNERS.ovmf;

/** Content of the four variables. */
export type SecureBootVariables = Record<SecureBootVariable, Uint8Array>;

/**
 * The variables for `options`; without own keys, they have Red Hat's platform key and Microsoft's key exchange keys and
 * revocations.
 */
export function secureBootVariables({ profile, hashes, arch, own = {} }: SecureBootOptions): SecureBootVariables {
  const { pk = builtIn(['redHatPlatformKey']), kek = builtIn(['kek11', 'kek23']), dbx = revocations(arch) } = own;
  return {
    pk: variable([pk]),
    kek: variable([kek]),
    db: variable(allowed(profile, hashes, own.db)),
    dbx: variable([dbx]),
  };
}

/** The contents of db, in order. An empty db gets a hash that no program has: without entries, it would not exist. */
function allowed(profile: SecureBootProfile, hashes: readonly Uint8Array[], own: OwnKeys | undefined): OwnKeys[] {
  const keys = [
    ...(PROFILES[profile].length === 0 ? [] : [builtIn(PROFILES[profile])]),
    ...(own === undefined ? [] : [own]),
  ];
  const digests = hashes.length > 0 || keys.length > 0 ? hashes : [HASH_OF_NOTHING];
  const entries = digests.map((data): Signature => ({ owner: OWNERS.ovmf, data }));
  return entries.length === 0 ? keys : [...keys, { lists: encodeSignatureLists([{ kind: 'sha256', entries }]) }];
}

function builtIn(names: readonly CertificateName[]): OwnKeys {
  const certificates = names.map((name): Signature => {
    const { file, owner } = CERTIFICATES[name];
    return { owner, data: bytesOf(file) };
  });
  const begins = certificates.map(({ data }) => Date.parse(new X509Certificate(data).validFrom));
  const lists = certificates.map((entry): SignatureList => ({ kind: 'x509', entries: [entry] }));
  return { lists: encodeSignatureLists(lists), time: new Date(Math.max(...begins)) };
}

function revocations(arch: EfiArch): OwnKeys {
  const lists = REVOKED[arch].flatMap((name) => listsOfUpdate(bytesOf(name)));
  return { lists: encodeSignatureLists(mergeSignatureLists(lists)), time: DBX_TIME };
}

/** A variable has the time of its latest part. */
function variable(parts: readonly OwnKeys[]): Uint8Array {
  const times = parts.flatMap(({ time }) => (time === undefined ? [] : [time.getTime()]));
  const time = times.length === 0 ? TIME_WITHOUT_CERTIFICATES : new Date(Math.max(...times));
  return unsignedUpdate({ time, lists: Buffer.concat(parts.map(({ lists }) => lists)) });
}

const bytesOf = (name: keyof typeof files): Uint8Array => Buffer.from(files[name], 'base64');
