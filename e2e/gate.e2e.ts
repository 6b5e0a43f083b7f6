import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { headersOf, withByte } from '../conformance/image-changes';
import { bytesOf } from './caching/images';
import { Workspace } from './harness/workspace';

const LOCK = 'enclave/igvm.lock.json';
const MANIFEST = 'enclave/igvm.json';
const IMAGE = 'dist/enclave/enclave.igvm';

interface SnpManifest {
  guest_configs: { guest_svn: number; isolation_type: { snp: { enable_debug: boolean } } }[];
}

/** IGVM_VHT_GUEST_POLICY, and the byte of a policy that contains the debug bit. */
const GUEST_POLICY = 0x101;
const DEBUG_BYTE = { at: 2, bit: 1 << 3 };

let workspace: Workspace;
let cache: string;
beforeAll(async () => {
  cache = mkdtempSync(join(tmpdir(), 'nx-igvm-gate-cache-'));
  workspace = await Workspace.create({ cache });
  await workspace.nxOk('g', 'nx-igvm:guest-image', 'enclave', '--type=snp-linux-direct');
  workspace.write('enclave/boot/vmlinuz', bytesOf('linux_kernel'));
  workspace.write('enclave/boot/initrd.cpio', bytesOf('linux_initrd'));
  await workspace.nxOk('run', 'enclave:measure', '--update-lock');
  await workspace.commit('a locked image');
});
afterAll(() => {
  workspace.dispose();
  rmSync(cache, { recursive: true, force: true });
});

/** Applies `change` to the manifest, runs `then`, and restores manifest and lock. */
async function withManifest(change: (manifest: SnpManifest) => void, then: () => Promise<void>): Promise<void> {
  const before = [MANIFEST, LOCK].map((file) => [file, workspace.read(file)] as const);
  workspace.updateJson<SnpManifest>(MANIFEST, change);
  try {
    await then();
  } finally {
    for (const [file, bytes] of before) workspace.write(file, bytes);
  }
}

const enableDebug = ({ guest_configs: [guest] }: SnpManifest): void => {
  guest!.isolation_type.snp.enable_debug = true;
};

describe('the checks of a pull request', () => {
  it('pass for a reviewed image', async () => {
    expect(await workspace.nxOk('run-many', '-t', 'build', 'verify', '--outputStyle=static')).toContain(
      'matches its lock: SEV-SNP',
    );
  });

  it('fail if the host may debug the guest', async () => {
    await withManifest(enableDebug, async () => {
      const { status, output } = await workspace.nx('affected', '-t', 'build', 'verify', '--uncommitted');
      expect(status).not.toBe(0);
      expect(output).toContain('debug: false before, now true');
      expect(output).toContain('[LOCK_MISMATCH]');
    });
  });

  it('write a lock that allows debugging only on request', async () => {
    await withManifest(enableDebug, async () => {
      const before = workspace.read(LOCK);
      const { status, output } = await workspace.nx('run', 'enclave:measure', '--update-lock');
      expect(status).not.toBe(0);
      expect(output).toContain('[DEBUG_NOT_ALLOWED]');
      expect(workspace.read(LOCK)).toEqual(before);
      await workspace.nxOk('run', 'enclave:measure', '--update-lock', '--allow-debug');
      expect(workspace.read(LOCK).toString()).toMatch(/^ {6}"debug": true,$/m);
      expect(await workspace.state('enclave', 'verify')).toBe('built');
    });
  });

  it('fail if the security version changes', async () => {
    const change = ({ guest_configs: [guest] }: SnpManifest): void => void (guest!.guest_svn = 99);
    await withManifest(change, async () => {
      const { status, output } = await workspace.nx('affected', '-t', 'build', 'verify', '--uncommitted');
      expect(status).not.toBe(0);
      expect(output).toMatch(/svn: \d+ before, now 99/);
    });
  });

  it('fail for a poisoned cache entry, even though the build is a hit', async () => {
    expect(await workspace.state('enclave', 'verify')).toBe('built');
    const good = workspace.read(IMAGE);
    const policy = headersOf(good).find(({ type }) => type === GUEST_POLICY)!;
    const poisoned = withByte(good, policy.at + DEBUG_BYTE.at, DEBUG_BYTE.bit);
    expect(poisonCache(good, poisoned)).toBeGreaterThan(0);
    rmSync(workspace.path('dist'), { recursive: true });

    const { status, output } = await workspace.nx('run', 'enclave:verify', '--outputStyle=static');
    expect(output).toMatch(/enclave:build\s+\[local cache\]/);
    expect(workspace.read(IMAGE).equals(poisoned)).toBe(true);
    expect(status).not.toBe(0);
    expect(output).toContain('policy debug: false before, now true');
    expect(output).toContain('[LOCK_MISMATCH]');
  });
});

/** Replaces the image in every cache entry that contains it. @returns the number of entries */
function poisonCache(good: Buffer, poisoned: Buffer): number {
  let count = 0;
  for (const name of readdirSync(cache, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.igvm') || !readFileSync(join(cache, name)).equals(good)) continue;
    writeFileSync(join(cache, name), poisoned);
    count++;
  }
  return count;
}
