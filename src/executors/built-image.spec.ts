/** The executors that read a built image, with real images that the build executor has made. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logger } from '../plugin/workspace-nx';
import buildExecutor from './build';
import { contextIn, ISOLATIONS } from './executor-context.fixture';
import { inspect, measure, referenceValues, sign, verify, verifyReport } from './tasks';

const IMAGE = 'dist/guest.igvm';
const LOCK = 'guest.igvm.lock.json';
const MANIFEST = 'guest.igvm.json';

let root: string;
let logged: string;
let printed: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nx-igvm-built-'));
  [logged, printed] = ['', ''];
  for (const level of ['info', 'warn', 'error'] as const) {
    jest
      .spyOn(logger, level)
      .mockImplementation((...texts: unknown[]) => void (logged += `${level}: ${texts.join(' ')}\n`));
  }
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

const context = () => contextIn(root, 'guest');

async function build(types: (keyof typeof ISOLATIONS)[] = ['snp', 'tdx'], svn = 1, maxVtl = 2): Promise<void> {
  const guests = types.map((type) => ({
    guest_svn: svn,
    max_vtl: maxVtl,
    isolation_type: ISOLATIONS[type],
    image: 'none',
  }));
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, MANIFEST), JSON.stringify({ guest_arch: 'x64', guest_configs: guests }));
  expect(await buildExecutor({ manifest: MANIFEST, outputPath: 'dist' }, context())).toEqual({ success: true });
  logged = '';
}

const succeeds = { success: true };
const fails = { success: false };

describe('nx-igvm:inspect', () => {
  it('writes a page beside the image, text and JSON to stdout', async () => {
    await build();
    expect(await inspect({ image: IMAGE, format: 'html' }, context())).toEqual(succeeds);
    expect(readFileSync(join(root, 'dist/guest.html'), 'utf8')).toMatch(/^<!doctype html>/);
    expect(await inspect({ image: IMAGE, format: 'text' }, context())).toEqual(succeeds);
    expect(printed).toMatch(/^Total file size: /);
    printed = '';
    expect(await inspect({ image: IMAGE, format: 'json' }, context())).toEqual(succeeds);
    expect(JSON.parse(printed)).toMatchObject({ platforms: [{ platformType: 'SEV_SNP' }, { platformType: 'TDX' }] });
  });

  it('writes any format to the requested file, but never over the image', async () => {
    await build();
    expect(await inspect({ image: IMAGE, format: 'text', outputPath: 'a/guest.txt' }, context())).toEqual(succeeds);
    expect(readFileSync(join(root, 'a/guest.txt'), 'utf8')).toMatch(/^Total file size: /);
    expect(await inspect({ image: IMAGE, outputPath: IMAGE }, context())).toEqual(fails);
    expect(logged).toContain('[FILE_UNWRITABLE]');
    expect(logged).not.toContain(root);
  });

  it('shows on the page whether the image matches its lock, or that there is none yet', async () => {
    await build();
    const page = async (): Promise<string> => {
      expect(await inspect({ image: IMAGE, lock: LOCK }, context())).toEqual(succeeds);
      return readFileSync(join(root, 'dist/guest.html'), 'utf8');
    };
    expect(await page()).toContain(`Not compared with ${LOCK}:</strong> there is no lock`);
    expect(await measure({ image: IMAGE, lock: LOCK, updateLock: true }, context())).toEqual(succeeds);
    expect(await page()).toContain(`Agrees with ${LOCK}`);
    await build(['snp', 'tdx'], 2);
    expect(await page()).toContain(`Differs from ${LOCK}`);
    writeFileSync(join(root, LOCK), '{}');
    expect(await inspect({ image: IMAGE, lock: LOCK }, context())).toEqual(fails);
  });

  it('leaves nothing behind when the file is not an image', async () => {
    mkdirSync(join(root, 'dist'));
    writeFileSync(join(root, IMAGE), 'no image');
    expect(await inspect({ image: IMAGE, format: 'html' }, context())).toEqual(fails);
    expect(readdirSync(join(root, 'dist'))).toEqual(['guest.igvm']);
    expect(logged).toContain(`error: ${IMAGE}: `);
  });
});

describe('nx-igvm:measure', () => {
  it('prints the digest of each platform for the given VMM', async () => {
    await build();
    expect(await measure({ image: IMAGE }, context())).toEqual(succeeds);
    expect(logged).toMatch(/snp {2}SEV-SNP launch digest \(SHA-384\): [0-9A-F]{96}\ntdx {2}TDX launch digest/);
    await measure({ image: IMAGE, platform: 'snp', vmm: 'openvmm-kvm', json: true }, context());
    expect(JSON.parse(printed)).toMatchObject({
      measurements: [],
      refusals: [{ platform: 'snp', vmm: 'openvmm-kvm', reason: expect.any(String) }],
    });
  });

  it('writes the lock only on request, for all platforms and VMMs', async () => {
    await build();
    await measure({ image: IMAGE, lock: LOCK }, context());
    expect(existsSync(join(root, LOCK))).toBe(false);
    const options = { image: IMAGE, lock: LOCK, platform: 'tdx', updateLock: true } as const;
    expect(await measure(options, context())).toEqual(succeeds);
    expect(logged).toContain(`info: ${LOCK}: written`);
    const { platforms } = JSON.parse(readFileSync(join(root, LOCK), 'utf8')) as { platforms: object };
    expect(platforms).toMatchObject({
      snp: { digests: [{ digest: expect.any(String), launches: [{ vmm: 'hyperv' }] }], svn: 1, debug: false },
      tdx: { digests: [{ digest: expect.any(String) }], attributes: { debug: false } },
    });
    await measure(options, context());
    expect(logged).toContain(`info: ${LOCK}: up to date`);
  });

  it('fails for a platform that the image does not have, and without the path of the lock', async () => {
    await build();
    expect(await measure({ image: IMAGE, platform: 'vbs' }, context())).toEqual(fails);
    expect(logged).toContain('[MEASUREMENT_UNAVAILABLE]');
    expect(await measure({ image: IMAGE, updateLock: true }, context())).toEqual(fails);
    expect(logged).toContain('[LOCK_MISSING]');
  });
});

describe('nx-igvm:verify', () => {
  const options = { image: IMAGE, lock: LOCK };
  const lock = () => measure({ ...options, updateLock: true }, context());

  it('names the project and the target that writes the lock in the cure', async () => {
    await build();
    expect(await verify({ image: IMAGE, lock: LOCK }, context())).toEqual(fails);
    expect(logged).toContain('Write it with "nx run guest:measure --update-lock"');
    logged = '';
    const targets = {
      'measure-a': { executor: 'nx-igvm:measure', options: { lock: 'other.json' } },
      'digests-b': { executor: 'nx-igvm:measure', options: { lock: LOCK } },
    };
    const nodes = { guest: { name: 'guest', type: 'app' as const, data: { root: '.', targets } } };
    const inGraph = { ...context(), projectGraph: { nodes, dependencies: {} } };
    expect(await verify({ image: IMAGE, lock: LOCK }, inGraph)).toEqual(fails);
    expect(logged).toContain('Write it with "nx run guest:digests-b --update-lock"');
  });

  it('accepts the locked image, also after it was signed', async () => {
    await build();
    await lock();
    expect(await verify(options, context())).toEqual(succeeds);
    expect(logged).toContain('matches its lock: SEV-SNP, TDX');
    await sign({ image: IMAGE, temporaryKey: true, manifest: MANIFEST }, context());
    expect(await verify({ ...options, image: 'dist/guest-signed.igvm' }, context())).toEqual(succeeds);
  });

  it('fails for an image with another measurement, and for a missing lock', async () => {
    await build(['tdx']);
    await lock();
    await build(['snp', 'tdx']);
    expect(await verify(options, context())).toEqual(fails);
    expect(logged).toContain('SEV-SNP: in the image, but not in the lock');
    expect(logged).toContain(`${IMAGE}: the image does not have the launch digests of ${LOCK} [LOCK_MISMATCH]`);
    rmSync(join(root, LOCK));
    expect(await verify(options, context())).toEqual(fails);
    expect(logged).toContain(`${LOCK}: there is no measurement lock [LOCK_MISSING]`);
    expect(logged).not.toContain(root);
  });

  it('accepts an image without isolation', async () => {
    await build(['none']);
    expect(await verify(options, context())).toEqual(succeeds);
    expect(logged).toContain('nothing to verify');
  });
});

describe('nx-igvm:sign', () => {
  it('writes a signed copy, and warns about a temporary key', async () => {
    await build();
    const before = readFileSync(join(root, IMAGE));
    expect(await sign({ image: IMAGE, temporaryKey: true, manifest: MANIFEST }, context())).toEqual(succeeds);
    expect(logged).toContain('warn: the ID block is signed with a temporary key');
    expect(readFileSync(join(root, IMAGE))).toEqual(before);
    await inspect({ image: 'dist/guest-signed.igvm', format: 'text' }, context());
    expect(printed).toContain('snpIdBlock');
  });

  it.each([
    [{}, 'there is nothing to sign with'],
    [{ temporaryKey: true }, 'temporaryKey needs manifest or guestSvn'],
    [{ temporaryKey: true, guestSvn: -1 }, 'guestSvn must be a whole number'],
    [{ temporaryKey: true, idBlock: 'a' }, "can't be used together"],
    [{ idBlock: 'a', idSignature: 'b' }, 'have to be given together'],
    [{ corimBundle: 'a', corimSignature: 'b', platform: 'snp' }, "can't be used together"],
    [{ corimBundle: 'a' }, 'needs platform'],
    [{ temporaryKey: true, guestSvn: 1, outputPath: IMAGE }, 'would replace the image'],
  ] as const)('refuses %j', async (options, message) => {
    await build();
    expect(await sign({ image: IMAGE, ...options }, context())).toEqual(fails);
    expect(logged).toContain(message);
    expect(logged).toContain('[SIGN_OPTION]');
  });

  it('leaves nothing behind when one of two signatures is invalid', async () => {
    await build();
    writeFileSync(join(root, 'wrong.cose'), 'no signature');
    const options = { temporaryKey: true, guestSvn: 1, corimSignature: 'wrong.cose', platform: 'tdx' } as const;
    expect(await sign({ image: IMAGE, ...options }, context())).toEqual(fails);
    expect(logged).toContain('wrong.cose');
    expect(existsSync(join(root, 'dist/guest-signed.igvm'))).toBe(false);
  });
});

describe('nx-igvm:reference-values', () => {
  it('writes values of an image that matches its lock', async () => {
    await build();
    await measure({ image: IMAGE, lock: LOCK, updateLock: true }, context());
    const options = { image: IMAGE, lock: LOCK, manifest: MANIFEST, outputPath: 'dist/values' };
    expect(await referenceValues(options, context())).toEqual(succeeds);
    expect(readdirSync(join(root, 'dist/values'))).toEqual([
      'corim.cbor',
      'go-sev-guest-1.textproto',
      'provenance.json',
      'trustee.json',
    ]);
    expect(logged).toContain('dist/values/trustee.json');
    await build(['snp', 'tdx'], 2);
    expect(await referenceValues({ ...options, outputPath: 'dist/other' }, context())).toEqual(fails);
    expect(logged).toContain('LOCK_MISMATCH');
    expect(existsSync(join(root, 'dist/other'))).toBe(false);
  });
});

describe('nx-igvm:verify-report', () => {
  it('fails for a report that is not genuine, and gives the reason', async () => {
    await build();
    const report = Buffer.alloc(0x4a0);
    report.writeUInt32LE(2, 0);
    report.writeUInt32LE(1, 0x34);
    writeFileSync(join(root, 'report.bin'), report);
    expect(await verifyReport({ report: 'report.bin', image: IMAGE, vmpl: 0 }, context())).toEqual(fails);
    expect(logged).toMatch(/^error: Is it genuine\?\n/);
    expect(logged).toContain('there is no certificate of SEV-VCEK');
    await verifyReport({ report: 'report.bin', json: true }, context());
    expect(JSON.parse(printed)).toMatchObject({ verdict: 'not genuine', platform: 'snp' });
  });

  it('spells options as in a target', async () => {
    writeFileSync(join(root, 'report.bin'), 'x');
    expect(await verifyReport({ report: 'report.bin', reportData: 'xyz' }, context())).toEqual(fails);
    expect(logged).toContain('reportData is not 1 to 64 bytes');
  });
});
