/** Evidence of real machines, where it is at hand: accepted at its time, and refused with any bit changed. */
import { readFileSync } from 'node:fs';
import { changedBits, evidencePath, withBit, withEvidence } from './evidence-folder.fixture';
import { put, verifyFiles } from './evidence-run.fixture';

withEvidence.describe('evidence of real machines, SEV-SNP', () => {
  const AT = ['--at', '2024-01-01T00:00:00Z'];
  const pem = (chain: string) => ['--certificate', evidencePath(`snp/ask_ark_${chain}.pem`)];
  const EVIDENCE = [
    ['go-sev-guest-attestation.bin', 'go-sev-guest-vcek.testcer'],
    ['sev-report_milan.hex', 'sev-vcek_milan.der'],
  ].map(([report, vcek]) => ({ report: evidencePath(`snp/${report}`), vcek: evidencePath(`snp/${vcek}`) }));

  it.each(EVIDENCE)('$report is genuine at its time, with AMD’s chain built in or given', async ({ report, vcek }) => {
    for (const chain of [[], pem('milan'), [...pem('genoa'), ...pem('milan_vlek'), ...pem('milan')]]) {
      expect(await verifyFiles(report, '--certificate', vcek, ...chain, ...AT)).toMatchObject({
        code: 0,
        verdict: 'genuine',
        failed: [],
      });
    }
  });

  it.each(EVIDENCE)('$report is refused at another time and with the key of another chip', async ({ report, vcek }) => {
    for (const at of ['2022-01-01', '2031-01-01']) {
      expect(await verifyFiles(report, '--certificate', vcek, '--at', at)).toMatchObject({ code: 3 });
    }
    for (const other of [
      'snp/sev-vcek_turin.der',
      ...EVIDENCE.map((each) => each.vcek).filter((each) => each !== vcek),
    ]) {
      const path = other.startsWith('snp/') ? evidencePath(other) : other;
      expect(await verifyFiles(report, '--certificate', path, '--at', '2025-01-01')).toMatchObject({ code: 3 });
    }
  });

  it.each(EVIDENCE)('$report is refused with a bit changed, in it or in a certificate', async ({ report, vcek }) => {
    const text = readFileSync(report);
    const raw = text.length === 0x4a0 ? text : Buffer.from(text.toString('latin1').replaceAll(/\s/g, ''), 'hex');
    const chain = evidencePath('snp/ask_ark_milan.pem');
    const files = { report: raw, vcek: readFileSync(vcek), chain: readFileSync(chain) };
    const accepted: string[] = [];
    for (const name of Object.keys(files) as (keyof typeof files)[]) {
      for (const place of changedBits(files[name].length)) {
        const paths = { report, vcek, chain, [name]: put('changed', withBit(files[name], place)) };
        const flags = ['--certificate', paths.vcek, '--certificate', paths.chain];
        const { code } = await verifyFiles(paths.report, ...flags, ...AT);
        if (code !== 3) accepted.push(`${name}: ${JSON.stringify(place)} gives ${code}`);
      }
    }
    expect(accepted).toEqual([]);
  });
});
