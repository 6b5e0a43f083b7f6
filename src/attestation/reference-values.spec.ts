/** Tests the reference values for verifiers by reading them in the way of the verifiers. */
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { makeInputs } from '../../conformance/make-inputs';
import { needing } from '../boot/needing.fixture';
import { NX_IGVM, run } from '../cli/programs';
import { decodeCbor, isCborTag } from '../endorsement/cbor';
import type { IgvmFile } from '../igvm/model';
import { lockText } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import { launchesOf } from '../measurement/launches';
import { fileOf, idBlock, run as pages, vmsa, written } from '../measurement/measured-guest.fixture';
import { issue } from './amd-chain.fixture';
import { type DsseEnvelope, keyId, preAuthEncoding } from './dsse';
import { inFolder, put } from './evidence-run.fixture';
import { snpGuest } from './own-guest.fixture';

const LAUNCHES = launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2], cpu: ['EPYC-Milan', 'EPYC-Genoa'] });

async function referenceValues(...args: string[]): Promise<{ code: number; text: string }> {
  let text = '';
  const add = (piece: string): void => void (text += piece);
  const environment = { cwd: inFolder('.'), stdout: add, stderr: add, isInteractive: false };
  const code = await run(NX_IGVM, ['reference-values', 'guest.igvm', '-o', 'out', ...args], environment);
  return { code, text };
}

/** Writes an image and its lock. @returns the digests that the lock expects */
async function imageWithLock(file: IgvmFile = snpGuest()): Promise<string[]> {
  put('guest.igvm', await written(file));
  const { lock } = await lockImage(file, { launches: LAUNCHES });
  put('igvm.lock.json', lockText(lock));
  return lock.platforms['snp']!.digests!.map(({ digest }) => digest.toLowerCase());
}

const content = (name: string): string => readFileSync(inFolder(`out/${name}`), 'utf8');

/** The parts of the documents that the tests read. */
interface Document {
  version: string;
  type: string;
  payload: string;
  _type: string;
  subject: object[];
  predicate: {
    buildDefinition: { externalParameters: object; resolvedDependencies: object[] };
    runDetails: { byproducts: { content: string; annotations: Record<string, unknown> }[] };
  };
  verificationMaterial: { publicKey?: object; certificate?: { rawBytes: string } };
  dsseEnvelope: DsseEnvelope;
}
const json = <T = Document>(name: string) => JSON.parse(content(name)) as T;

describe('reference values', () => {
  it('for an image with a lock contain every digest in the lock, in every format', async () => {
    const digests = await imageWithLock();
    expect(digests).toHaveLength(3);
    const { code, text } = await referenceValues('--lock', 'igvm.lock.json');
    expect([code, text.split('\n').slice(0, -1)]).toEqual([
      0,
      [
        'trustee.json',
        'corim.cbor',
        ...[1, 2, 3].map((index) => `go-sev-guest-${index}.textproto`),
        'provenance.json',
      ].map((name) => `out/${name}`),
    ]);

    const { version, type, payload } = json('trustee.json');
    expect({ version, type }).toEqual({ version: '0.1.0', type: 'sample' });
    expect(JSON.parse(Buffer.from(payload, 'base64').toString())).toEqual({
      snp_launch_measurement: digests,
      snp_guest_abi_major: 0,
      snp_guest_abi_minor: 0,
      snp_smt_allowed: true,
      snp_single_socket: false,
    });

    const policies = digests.map((_, index) => content(`go-sev-guest-${index + 1}.textproto`));
    const measured = policies.map((each) =>
      /measurement: "((?:\\x[0-9a-f]{2}){48})"/.exec(each)?.[1]?.replaceAll('\\x', ''),
    );
    expect(measured).toEqual(digests);
    expect(policies[0]).toContain(
      '# QEMU with KVM, 1 vCPU, EPYC-Milan\n# QEMU with KVM, 1 vCPU, EPYC-Genoa\npolicy {\n',
    );
    expect(policies[0]).toContain('  policy: 0x30000\n');

    const corim = decodeCbor(readFileSync(inFolder('out/corim.cbor')), 'it');
    if (!isCborTag(corim) || !(corim.value instanceof Map)) throw new Error('corim.cbor is not a CoRIM');
    expect([corim.tag, [...corim.value.keys()]]).toEqual([501, [0, 1]]);
    const hex = readFileSync(inFolder('out/corim.cbor')).toString('hex');
    for (const digest of digests) expect(hex.split(digest)).toHaveLength(2);

    const { _type, subject, predicate } = json('provenance.json');
    expect(_type).toBe('https://in-toto.io/Statement/v1');
    expect(subject).toEqual([{ name: 'guest.igvm', digest: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } }]);
    const measurements = predicate.runDetails.byproducts;
    expect(measurements.map(({ annotations: { vcpus, cpu, measurement } }) => [vcpus, cpu, measurement])).toEqual([
      [1, 'EPYC-Milan', digests[0]],
      [1, 'EPYC-Genoa', digests[0]],
      [2, 'EPYC-Milan', digests[1]],
      [2, 'EPYC-Genoa', digests[2]],
    ]);
    expect(Buffer.from(measurements[2]!.content, 'base64').toString('hex')).toBe(digests[1]);
  });

  it('are the same every time, and files for an earlier image are removed', async () => {
    await imageWithLock();
    await referenceValues('--lock', 'igvm.lock.json');
    const before = readdirSync(inFolder('out')).map((name) => [name, content(name)]);
    await referenceValues('--lock', 'igvm.lock.json');
    expect(readdirSync(inFolder('out')).map((name) => [name, content(name)])).toEqual(before);
    put('out/notes.txt', 'mine');
    expect((await referenceValues('--vmm', 'vanadium')).code).toBe(0);
    expect(readdirSync(inFolder('out'))).toEqual([
      'corim.cbor',
      'go-sev-guest-1.textproto',
      'notes.txt',
      'provenance.json',
      'trustee.json',
    ]);
  });

  it('are not written for an image that differs from its lock', async () => {
    await imageWithLock();
    put('guest.igvm', await written(snpGuest(0x20)));
    const { code, text } = await referenceValues('--lock', 'igvm.lock.json');
    expect([code, text]).toEqual([1, expect.stringContaining('LOCK_MISMATCH')]);
    expect(() => readdirSync(inFolder('out'))).toThrow('ENOENT');
  });

  it('are not written for a VMM that refuses the image', async () => {
    put('guest.igvm', await written(fileOf([pages(0x10), vmsa(0x20000)])));
    const { code, text } = await referenceValues('--vmm', 'qemu-kvm', '--vcpus', '1', '--cpu', 'EPYC-Milan');
    expect([code, text]).toEqual([
      1,
      expect.stringMatching(/guest\.igvm: .*QEMU refuses this file.*MEASUREMENT_REFUSED/s),
    ]);
    expect(() => readdirSync(inFolder('out'))).toThrow('ENOENT');
  });

  it('contain the identity in an ID block, and the digests of other platforms', async () => {
    const measured = fileOf([pages(0x10)]);
    put('guest.igvm', await written(measured));
    await referenceValues('--format', 'trustee,corim');
    const values = JSON.parse(Buffer.from(json('trustee.json').payload, 'base64').toString()) as Record<
      string,
      string[]
    >;
    expect([values['mr_td'], values['snp_launch_measurement']]).toEqual([
      [expect.stringMatching(/^[0-9a-f]{96}$/)],
      [expect.any(String)],
    ]);
    expect(readdirSync(inFolder('out'))).toEqual(['corim.cbor', 'trustee.json']);

    const block = {
      ...idBlock(Buffer.from(values['snp_launch_measurement']![0]!, 'hex')),
      guestSvn: 7,
      familyId: new Uint8Array(16).fill(9),
    };
    put('guest.igvm', await written(fileOf([pages(0x10), block as never])));
    await referenceValues('--format', 'go-sev-guest');
    const policy = content('go-sev-guest-1.textproto');
    expect(policy).toContain('  minimum_guest_svn: 7\n');
    expect(policy).toContain(`  family_id: "${'\\x09'.repeat(16)}"\n`);
    expect(policy).toMatch(/ {2}require_id_block: true\n {2}trusted_id_key_hashes: "(\\x[0-9a-f]{2}){48}"\n/);
  });

  it('come with a warning if the guest may be debugged', async () => {
    put('guest.igvm', await written(snpGuest(0x10, 0xb0000n)));
    expect((await referenceValues()).text).toMatch(/^warning: the host may debug the guest of guest\.igvm \(snp\)/);
  });

  it('name the manifest and its files with their digests, if the image is built from them', async () => {
    const parts = {
      underhill_kernel: 'vmlinux-x64.elf',
      openhcl_boot: 'openhcl_boot-x64.elf',
      underhill_initrd: 'initrd-small.bin',
    };
    makeInputs(inFolder('.'), Object.values(parts));
    const snp = {
      shared_gpa_boundary_bits: 46,
      policy: 196608,
      enable_debug: false,
      injection_type: 'normal',
      secure_avic: 'disabled',
    };
    const openhcl = { command_line: 'a', memory_page_count: 16384, uefi: false, memory_page_base: 32768 };
    const manifest = (commandLine: string) =>
      JSON.stringify({
        guest_arch: 'x64',
        guest_configs: [
          {
            guest_svn: 1,
            max_vtl: 2,
            isolation_type: { snp },
            image: { openhcl: { ...openhcl, command_line: commandLine } },
          },
        ],
        resources: parts,
      });
    put('igvm.json', manifest('a'));
    const environment = { cwd: inFolder('.'), stdout: () => undefined, stderr: () => undefined, isInteractive: false };
    for (const flags of [[], ['--no-embed-corim']]) {
      expect(await run(NX_IGVM, ['build', 'igvm.json', '-o', 'guest.igvm', ...flags], environment)).toBe(0);
      expect((await referenceValues('--manifest', 'igvm.json')).text).not.toContain('error');
      const { externalParameters, resolvedDependencies } = json('provenance.json').predicate.buildDefinition;
      expect(externalParameters).toEqual({ image: 'guest.igvm', manifest: 'igvm.json' });
      const sha256 = (path: string) =>
        createHash('sha256')
          .update(readFileSync(inFolder(path)))
          .digest('hex');
      const files = Object.entries(parts).map(([name, path]) => ({
        name,
        digest: { sha256: sha256(path) },
        annotations: { path: expect.stringContaining(path) },
      }));
      expect(resolvedDependencies).toHaveLength(4);
      expect(resolvedDependencies).toEqual(
        expect.arrayContaining([
          { name: 'manifest', digest: { sha256: sha256('igvm.json') }, annotations: { path: 'igvm.json' } },
          ...files,
        ]),
      );
    }
    put('igvm.json', manifest('b'));
    const { code, text } = await referenceValues('--manifest', 'igvm.json');
    expect([code, text]).toEqual([
      1,
      expect.stringMatching(/it is not what igvm\.json builds now: snp: .*BUILD_FIRST/),
    ]);
  });

  it.each([
    [['--format', 'spdx'], 2, /USAGE/],
    [['--lock', 'igvm.lock.json', '--vmm', 'hyperv'], 2, /USAGE/],
    [['--format', 'corim', '--sign-key', 'key.pem'], 1, /STATEMENT_SIGNING/],
    [['--sign-command', 'openssl'], 1, /STATEMENT_SIGNING/],
    [['--sign-key', 'guest.igvm'], 1, /STATEMENT_SIGNING/],
    [
      ['--sign-command', 'no-such-program', '--public-key', 'key.pem'],
      1,
      /the signing program "no-such-program" was not found/,
    ],
    [['--sign-command', 'true', '--public-key', 'key.pem'], 1, /is not a signature/],
    [['--sign-command', 'false', '--public-key', 'key.pem'], 1, /did not sign/],
  ] as const)('%j is refused, and nothing is written', async (args, wanted, message) => {
    await imageWithLock();
    put(
      'key.pem',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' }),
    );
    const { code, text } = await referenceValues(...args);
    expect([code, text]).toEqual([wanted, expect.stringMatching(message)]);
    expect(() => readdirSync(inFolder('out'))).toThrow('ENOENT');
  });
});

const KEYS = {
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
} as const;

/**
 * Verifies a bundle as sigstore's client does, with the user's own key and no transparency log. The JavaScript client uses SHA-256 for every
 * curve. Other clients use SHA-384 for P-384, as we do, so the JavaScript client only parses such a bundle, and Node verifies it.
 */
function verifyBundle(bundle: unknown, publicKey: KeyObject): void {
  const entity = toSignedEntity(bundleFromJSON(bundle));
  if (publicKey.asymmetricKeyDetails?.namedCurve === 'secp384r1') {
    const { payload, payloadType, signatures } = (bundle as { dsseEnvelope: DsseEnvelope }).dsseEnvelope;
    const message = preAuthEncoding(payloadType, Buffer.from(payload, 'base64'));
    if (verify('sha384', message, publicKey, Buffer.from(signatures[0]!.sig, 'base64'))) return;
    throw new Error('the signature is wrong');
  }
  const trust = toTrustMaterial(
    { mediaType: '', tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] },
    () => ({ publicKey, validFor: () => true }),
  );
  const none = { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 };
  new Verifier(trust, none).verify(entity);
}

describe.each(Object.entries(KEYS))('a statement signed with %s', (_, make) => {
  it('is accepted by sigstore’s client, and refused if it was changed', async () => {
    await imageWithLock();
    const { privateKey, publicKey } = make();
    put('key.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }));
    expect((await referenceValues('--sign-key', 'key.pem', '--envelope', 'sigstore')).code).toBe(0);
    expect(readdirSync(inFolder('out'))).not.toContain('provenance.json');
    const bundle = json('provenance.sigstore.json');
    expect(bundle.verificationMaterial.publicKey).toEqual({ hint: keyId(publicKey) });
    verifyBundle(bundle, publicKey);
    const other = Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString().replace('guest.igvm', 'other.igvm');
    bundle.dsseEnvelope.payload = Buffer.from(other).toString('base64');
    expect(() => verifyBundle(bundle, publicKey)).toThrow();
  });

  it('is a DSSE envelope around the same statement as without a signature', async () => {
    await imageWithLock();
    await referenceValues('--format', 'in-toto');
    const unsigned = content('provenance.json');
    const { privateKey, publicKey } = make();
    put('key.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }));
    await referenceValues('--format', 'in-toto', '--sign-key', 'key.pem');
    const envelope = json<DsseEnvelope>('provenance.dsse.json');
    expect(Buffer.from(envelope.payload, 'base64').toString()).toBe(unsigned);
    expect(envelope.payloadType).toBe('application/vnd.in-toto+json');
    verifyBundle(
      {
        mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        verificationMaterial: { publicKey: { hint: 'x' }, tlogEntries: [] },
        dsseEnvelope: envelope,
      },
      publicKey,
    );
  });
});

needing('openssl').describe('a statement signed by a program', () => {
  const keys = (): { publicKey: KeyObject } => {
    const { privateKey, publicKey } = KEYS['P-384']();
    put('private.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }));
    put('public.pem', publicKey.export({ format: 'pem', type: 'spki' }));
    return { publicKey };
  };

  it.each([
    ['the message, from a file', 'openssl dgst -sha384 -sign private.pem {message}'],
    ['the message, from its input', 'openssl dgst -sha384 -sign private.pem'],
    ['the digest', 'openssl pkeyutl -sign -inkey private.pem -in {digest}'],
  ])('is verified if the program signs %s', async (__, command) => {
    await imageWithLock();
    const { publicKey } = keys();
    const words = command.replace('private.pem', inFolder('private.pem'));
    expect(
      await referenceValues('--sign-command', words, '--public-key', 'public.pem', '--envelope', 'sigstore'),
    ).toMatchObject({ code: 0 });
    verifyBundle(json('provenance.sigstore.json'), publicKey);
  });

  it('may have its signature in base64 or as two numbers, and its certificate in the bundle', async () => {
    await imageWithLock();
    const { der, key, certificate } = issue({ commonName: 'Builder', curve: 'P-256' });
    put('private.pem', key.export({ format: 'pem', type: 'pkcs8' }));
    put('builder.der', der);
    mkdirSync(inFolder('bin'));
    const sign = `const c = require('node:crypto'), f = require('node:fs');
const sig = c.sign('sha256', f.readFileSync(process.argv[2]), { key: f.readFileSync(${JSON.stringify(inFolder('private.pem'))}), dsaEncoding: process.argv[3] });
process.stdout.write(sig.toString('base64') + '\\n');`;
    writeFileSync(join(inFolder('bin'), 'sign.js'), sign);
    for (const encoding of ['der', 'ieee-p1363']) {
      const command = `${process.execPath} ${inFolder('bin/sign.js')} {message} ${encoding}`;
      expect(
        await referenceValues('--sign-command', command, '--public-key', 'builder.der', '--envelope', 'sigstore'),
      ).toMatchObject({ code: 0 });
      const bundle = json('provenance.sigstore.json');
      expect(bundle.verificationMaterial.certificate?.rawBytes).toBe(der.toString('base64'));
      expect(bundleFromJSON(bundle).content.$case).toBe('dsseEnvelope');
      const { payload, payloadType, signatures } = bundle.dsseEnvelope;
      put('message', preAuthEncoding(payloadType, Buffer.from(payload, 'base64')));
      put('signature', Buffer.from(signatures[0]!.sig, 'base64'));
      put('public.pem', certificate.x509.publicKey.export({ format: 'pem', type: 'spki' }));
      const said = execFileSync(
        'openssl',
        ['dgst', '-sha256', '-verify', 'public.pem', '-signature', 'signature', 'message'],
        { cwd: inFolder('.'), encoding: 'utf8' },
      );
      expect(said).toContain('OK');
    }
  });
});
