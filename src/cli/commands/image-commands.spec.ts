import { createPublicKey, sign } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EC_KEY } from '../../endorsement/signer.fixture';
import { SNP_IDENTITY, snpIdBlock } from '../../endorsement/guest-documents';
import { rewriteImage, writeImage } from '../../files/igvm-image';
import type { IgvmFile } from '../../igvm/model';
import { bytesSource } from '../../memory/byte-source';
import { IGVMFILEGEN, NX_IGVM, type ProgramDescription, run } from '../programs';

const FIXTURES = join(__dirname, '..', '..', 'igvm', 'fixtures');
let cwd: string;
beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'nx-igvm-commands-'));
  copyFileSync(join(FIXTURES, 'version-1.igvm'), join(cwd, 'a.igvm'));
  await rewriteImage(join(cwd, 'a.igvm'), join(cwd, 'b.igvm'), (file) => ({
    ...file,
    initializations: [
      ...file.initializations,
      { type: 'corimDocument', compatibilityMask: 4, content: bytesSource(Uint8Array.of(1, 2, 3)) },
    ],
  }));
});
afterEach(() => rmSync(cwd, { recursive: true }));

async function runIn(program: ProgramDescription, ...args: string[]) {
  let [stdout, stderr] = ['', ''];
  const exitCode = await run(program, args, {
    cwd,
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    isInteractive: false,
  });
  return { exitCode, stdout, stderr };
}

describe('dump', () => {
  it('shows the same to both command lines', async () => {
    const shown = await runIn(NX_IGVM, 'dump', 'a.igvm');
    expect(shown).toMatchObject({ exitCode: 0, stderr: '' });
    expect(shown.stdout).toContain('platformType SEV_SNP');
    expect(await runIn(IGVMFILEGEN, 'dump', '-f', 'a.igvm')).toEqual(shown);
    expect(await runIn(IGVMFILEGEN, 'dump', '--filepath', 'a.igvm')).toEqual(shown);
  });

  it('writes JSON for programs', async () => {
    const { stdout } = await runIn(NX_IGVM, 'dump', 'a.igvm', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ platforms: [{ platformType: 'SEV_SNP' }] });
  });

  it('refuses a file that is not an image with one clear error', async () => {
    writeFileSync(join(cwd, 'x'), 'hello');
    const { exitCode, stdout, stderr } = await runIn(IGVMFILEGEN, 'dump', '-f', 'x');
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toMatch(/^error: .*x: .* \[IGVM_MALFORMED\]\n {2}.*\n$/);
  });
});

describe('measure', () => {
  it('prints one line for each platform, or JSON', async () => {
    const { stdout } = await runIn(NX_IGVM, 'measure', 'a.igvm');
    const digest = /^snp {2}SEV-SNP launch digest \(SHA-384\): ([0-9A-F]{96})\n$/.exec(stdout)?.[1];
    const { stdout: json } = await runIn(NX_IGVM, 'measure', 'a.igvm', '--json', '--platform', 'snp');
    expect(JSON.parse(json)).toEqual({
      measurements: [
        { platform: 'snp', vmm: 'hyperv', compatibilityMask: 4, algorithm: 'SHA-384', digest, warnings: [] },
      ],
      refusals: [],
    });
  });

  it.each([['--platform', 'sev'], ['--vmm', 'xen'], ['--bogus']])('refuses %s %s', async (...flags) => {
    expect(await runIn(NX_IGVM, 'measure', 'a.igvm', ...flags)).toMatchObject({ exitCode: 2, stdout: '' });
  });

  it('reports that an image without isolated guests has no digest, and writes no lock', async () => {
    const native: IgvmFile = {
      version: 2,
      arch: 'x64',
      platforms: [{ compatibilityMask: 1, highestVtl: 0, platformType: 0, platformVersion: 1, sharedGpaBoundary: 0n }],
      initializations: [],
      directives: [],
    };
    await writeImage(native, join(cwd, 'n.igvm'));
    const stdout = 'n.igvm has no launch digest: it has no isolated guests\n';
    expect(await runIn(NX_IGVM, 'measure', 'n.igvm')).toEqual({ exitCode: 0, stdout, stderr: '' });
    const { stdout: json } = await runIn(NX_IGVM, 'measure', 'n.igvm', '--json');
    expect(JSON.parse(json)).toEqual({ measurements: [], refusals: [] });
    expect(await runIn(NX_IGVM, 'measure', 'n.igvm', '--update-lock', 'n.lock.json')).toMatchObject({ exitCode: 1 });
    expect(existsSync(join(cwd, 'n.lock.json'))).toBe(false);
  });

  it('refuses a platform that the image does not have', async () => {
    const { exitCode, stderr } = await runIn(NX_IGVM, 'measure', 'a.igvm', '--platform', 'tdx');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('[MEASUREMENT_UNAVAILABLE]');
  });
});

describe('diff', () => {
  it('returns 0 for files that are the same and 1 for files that differ', async () => {
    expect(await runIn(NX_IGVM, 'diff', 'a.igvm', 'a.igvm')).toMatchObject({ exitCode: 0, stderr: '' });
    const { exitCode, stdout, stderr } = await runIn(NX_IGVM, 'diff', 'a.igvm', 'b.igvm');
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
    expect(stdout).toContain('corimDocument: only in B: 010203');
    const { stdout: json } = await runIn(NX_IGVM, 'diff', 'a.igvm', 'b.igvm', '--json');
    expect(JSON.parse(json)).toMatchObject({ isSame: false });
  });
});

describe('dump-corim', () => {
  it('lists documents like igvmfilegen', async () => {
    const { stdout } = await runIn(IGVMFILEGEN, 'dump-corim', '-f', 'b.igvm');
    expect(stdout).toBe(
      `IGVM File: b.igvm
Total file size: ${readFileSync(join(cwd, 'b.igvm')).length} bytes

Supported Platforms:
  SEV_SNP -> compatibility_mask 0x4

CoRIM Document (snp):
  Compatibility Mask: 0x4 (SEV_SNP)
  Size: 3 bytes

Summary: 1 document header(s), 0 signature header(s)
`,
    );
  });

  it('extracts them, and creates no folder if there are none', async () => {
    await runIn(IGVMFILEGEN, 'dump-corim', '-f', 'b.igvm', '--platform', 'snp', '-o', 'out');
    expect(readdirSync(join(cwd, 'out'))).toEqual(['corim_document_snp.cbor']);
    expect([...readFileSync(join(cwd, 'out', 'corim_document_snp.cbor'))]).toEqual([1, 2, 3]);
    const { stdout } = await runIn(NX_IGVM, 'dump-corim', 'b.igvm', '--header-type', 'signature', '-o', 'none');
    expect(stdout).toContain('No CoRIM headers found matching the specified filters.');
    expect(existsSync(join(cwd, 'none'))).toBe(false);
  });

  it('writes JSON for programs', async () => {
    const { stdout } = await runIn(NX_IGVM, 'dump-corim', 'b.igvm', '--json');
    expect(JSON.parse(stdout)).toEqual({
      corims: [{ kind: 'document', compatibilityMask: 4, platform: 'snp', platformTypes: 'SEV_SNP', size: 3 }],
    });
  });
});

describe('add-snp-id-block', () => {
  it('signs with a temporary key, in place', async () => {
    expect(await runIn(IGVMFILEGEN, 'add-snp-id-block', '-i', 'a.igvm', '-o', 'a.igvm', '--guest-svn', '3')).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    expect((await runIn(NX_IGVM, 'dump', 'a.igvm')).stdout).toMatch(/snpIdBlock .* guestSvn 3 /);
    expect(await runIn(NX_IGVM, 'add-snp-id-block', '-i', 'a.igvm', '-o', 'a.igvm', '--guest-svn', '3')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('[ID_BLOCK_PRESENT]'),
    });
  });

  it.each([
    [[]],
    [['--guest-svn', '1', '--id-block', 'x']],
    [['--guest-svn', '1', '--manifest', 'x']],
    [['--guest-svn', '4294967296']],
    [['--guest-svn', '-1']],
    [['--id-block', 'x']],
    [['--id-signature', 'x', '--id-public-key', 'x']],
  ])('refuses the command line %j', async (flags) => {
    const { exitCode, stdout } = await runIn(IGVMFILEGEN, 'add-snp-id-block', '-i', 'a.igvm', '-o', 'c.igvm', ...flags);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(existsSync(join(cwd, 'c.igvm'))).toBe(false);
  });

  it('names the file with the mistake', async () => {
    writeFileSync(join(cwd, 'block'), 'short');
    const files = ['--id-block', 'block', '--id-signature', 'block', '--id-public-key', 'block'];
    const { exitCode, stderr } = await runIn(NX_IGVM, 'add-snp-id-block', '-i', 'a.igvm', '-o', 'c.igvm', ...files);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error: .*block: an ID block has 96 bytes, not 5 \[ID_BLOCK_INVALID\]/);
  });

  it.each(['signature', 'key'])('blames a wrong %s, not the block', async (wrong) => {
    const block = snpIdBlock({ ld: new Uint8Array(48), policy: 0n, guestSvn: 1, ...SNP_IDENTITY.openhcl });
    writeFileSync(join(cwd, 'block'), block);
    writeFileSync(join(cwd, 'signature'), sign('sha384', block, EC_KEY));
    writeFileSync(join(cwd, 'key'), createPublicKey(EC_KEY).export({ format: 'pem', type: 'spki' }));
    writeFileSync(join(cwd, wrong), 'junk');
    const files = ['--id-block', 'block', '--id-signature', 'signature', '--id-public-key', 'key'];
    const { stderr } = await runIn(NX_IGVM, 'add-snp-id-block', '-i', 'a.igvm', '-o', 'c.igvm', ...files);
    expect(stderr).toMatch(new RegExp(`^error: ${wrong}: .* \\[ID_BLOCK_INVALID\\]`));
  });

  it('does not overwrite the files that it signs with', async () => {
    writeFileSync(join(cwd, 'key'), 'key');
    const files = ['--id-block', 'block', '--id-signature', 'signature', '--id-public-key', 'key'];
    const signing = [
      ['-o', 'key', ...files],
      ['-o', 'm.json', '--manifest', 'm.json'],
    ];
    for (const flags of signing) {
      const { stderr } = await runIn(NX_IGVM, 'add-snp-id-block', '-i', 'a.igvm', ...flags);
      expect(stderr).toContain('[FILE_UNWRITABLE]');
    }
    expect(readFileSync(join(cwd, 'key'), 'utf8')).toBe('key');
  });
});

describe('patch-corim-signature', () => {
  it.each([
    [[]],
    [['--platform', 'snp']],
    [['--corim-signature', 'x']],
    [['--platform', 'snp', '--corim-signature', 'x', '--corim-bundle', 'x']],
  ])('refuses the command line %j', async (flags) => {
    const { exitCode } = await runIn(IGVMFILEGEN, 'patch-corim-signature', '-i', 'b.igvm', '-o', 'c.igvm', ...flags);
    expect(exitCode).toBe(2);
  });

  it('names the invalid signature', async () => {
    writeFileSync(join(cwd, 'signature'), 'no CBOR');
    const flags = ['--platform', 'snp', '--corim-signature', 'signature'];
    const { exitCode, stderr } = await runIn(
      NX_IGVM,
      'patch-corim-signature',
      '-i',
      'b.igvm',
      '-o',
      'c.igvm',
      ...flags,
    );
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error: .*signature: .* \[CORIM_SIGNATURE_INVALID\]/);
    expect(existsSync(join(cwd, 'c.igvm'))).toBe(false);
  });

  it('does not overwrite the signature', async () => {
    writeFileSync(join(cwd, 'signature'), 'no CBOR');
    const flags = ['--platform', 'snp', '--corim-signature', 'signature'];
    const { stderr } = await runIn(NX_IGVM, 'patch-corim-signature', '-i', 'b.igvm', '-o', 'signature', ...flags);
    expect(stderr).toContain('[FILE_UNWRITABLE]');
  });
});
