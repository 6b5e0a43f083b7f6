/** Evidence from real machines is accepted at its time, and refused with any bit changed. Skipped if there is none on this machine. */
import { readFileSync } from 'node:fs';
import { amdChain, type ReportFields, signedReport } from './amd-chain.fixture';
import { parseCertificate } from './certificates';
import { CHANGED_BITS, changedBits, evidencePath, withBit, withEvidence } from './evidence-folder.fixture';
import { put, verifyFiles } from './evidence-run.fixture';

withEvidence.describe('SEV-SNP evidence from real machines', () => {
  const AT = ['--at', '2024-01-01T00:00:00Z'];
  const pem = (chain: string) => ['--certificate', evidencePath(`snp/ask_ark_${chain}.pem`)];
  const EVIDENCE = [
    ['go-sev-guest-attestation.bin', 'go-sev-guest-vcek.testcer'],
    ['sev-report_milan.hex', 'sev-vcek_milan.der'],
  ].map(([report, vcek]) => ({ report: evidencePath(`snp/${report}`), vcek: evidencePath(`snp/${vcek}`) }));

  it.each(EVIDENCE)(
    '$report is genuine at its time, with AMD’s chain built in or given as files',
    async ({ report, vcek }) => {
      for (const chain of [[], pem('milan'), [...pem('genoa'), ...pem('milan_vlek'), ...pem('milan')]]) {
        expect(await verifyFiles(report, '--certificate', vcek, ...chain, ...AT)).toMatchObject({
          code: 0,
          verdict: 'genuine',
          failed: [],
        });
      }
    },
  );

  it.each(EVIDENCE)(
    '$report is refused at another time, and with the key of another chip',
    async ({ report, vcek }) => {
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
    },
  );

  it.each(EVIDENCE)(
    '$report is refused if a bit of it or of a certificate is changed',
    async ({ report, vcek }) => {
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
    },
    20_000 + CHANGED_BITS * 1500,
  );
});

withEvidence.describe('the certificate of a real Turin machine', () => {
  const vcek = evidencePath('snp/sev-vcek_turin.der');
  let tcb: Buffer;
  let stated: Buffer;
  let chipId: Buffer;
  beforeAll(() => {
    const { extensions } = parseCertificate(readFileSync(vcek), 'vcek');
    const version = (part: number): number => extensions.get(`1.3.6.1.4.1.3704.1.3.${part}`)!.at(-1)!;
    // FMC, boot loader, TEE, SNP, three reserved bytes, microcode.
    tcb = Buffer.from([version(9), version(1), version(2), version(3), 0, 0, 0, version(8)]);
    stated = extensions.get('1.3.6.1.4.1.3704.1.4')!;
    chipId = stated.subarray(-8);
  });
  const key = amdChain('Turin').leaf.key;
  const failures = async (fields: ReportFields): Promise<string[]> => {
    const report = signedReport({ version: 5, cpu: [0x1a, 2], tcb, chipId, ...fields }, key);
    const { code, failed } = await verifyFiles(put('report', report), '--certificate', vcek, '--at', '2025-06-01');
    expect(code).toBe(3);
    return failed.map((line) => line.replace(/:.*/, ''));
  };

  it('has extensions that are checked: only the signature is wrong, because the test cannot make it', async () => {
    // Newer certificates have an OCTET STRING.
    expect([8, 10]).toContain(stated.length);
    expect(await failures({})).toEqual(['report signature']);
    for (const index of [0, 1, 2, 3, 7]) {
      const other = Buffer.from(tcb);
      other[index]! ^= 1;
      expect(await failures({ tcb: other })).toEqual(['report signature', 'TCB of the key']);
    }
    expect(await failures({ chipId: Buffer.alloc(8, 1) })).toEqual(['report signature', 'chip']);
    expect(await failures({ chipId: Buffer.concat([chipId, Buffer.of(1)]) })).toEqual(['report signature', 'chip']);
  });

  it('is refused for a report from Genoa', async () => {
    expect(await failures({ cpu: [0x19, 0x11] })).toContain('processor generation');
  });
});

withEvidence.describe('TDX evidence from real machines', () => {
  const tdx = (name: string): string => evidencePath(`tdx/${name}`);
  const QUOTES = [
    { quote: 'tdx_prod_quote_SPR_E4.dat', at: '2024-09-01', size: 4935 },
    { quote: 'cos-113-tdx-quote.dat', at: '2024-09-01', size: 4935 },
    { quote: 'quote_v5_sample.dat', at: '2026-03-01', size: 5006 },
  ];

  it.each(QUOTES)('$quote is genuine at its time, and refused at another time', async ({ quote, at }) => {
    expect(await verifyFiles(tdx(quote), '--at', at)).toMatchObject({ code: 0, verdict: 'genuine', failed: [] });
    for (const other of ['2017-01-01', '2040-01-01']) {
      expect(await verifyFiles(tdx(quote), '--at', other)).toMatchObject({ code: 3, verdict: 'not genuine' });
    }
  });

  it('has the registers that result from its event log, and the nonce', async () => {
    const args = ['--at', '2024-09-01', '--nonce', readFileSync(tdx('nonce.dat')).toString('hex')];
    const log = ['--event-log', tdx('ccel_data.dat')];
    const { code, passed } = await verifyFiles(tdx('cos-113-tdx-quote.dat'), ...args, ...log);
    expect([code, passed.filter((line) => line.startsWith('RTMR')).length]).toEqual([0, 4]);
    const changed = readFileSync(tdx('ccel_data.dat'));
    changed[0x60]! ^= 1;
    const other = ['--event-log', put('ccel', changed)];
    expect(await verifyFiles(tdx('cos-113-tdx-quote.dat'), ...args, ...other)).toMatchObject({
      code: 4,
      failed: [expect.stringMatching(/^RTMR 0: .* the event log results in/)],
    });
    const cut = ['--event-log', put('ccel', changed.subarray(0, 0x100))];
    expect(await verifyFiles(tdx('cos-113-tdx-quote.dat'), ...args, ...cut)).toMatchObject({ code: 3 });
  });

  it('is refused with a revocation list from another time, and accepted with one from its time', async () => {
    const crl = ['--crl', tdx('rootcrl.der'), '--crl', tdx('pckcrl')];
    const { failed } = await verifyFiles(tdx('tdx_prod_quote_SPR_E4.dat'), '--at', '2023-07-01', ...crl);
    expect(failed).toEqual([]);
    const late = await verifyFiles(tdx('tdx_prod_quote_SPR_E4.dat'), '--at', '2024-09-01', ...crl);
    expect([late.code, late.failed.length]).toEqual([3, 2]);
  });

  it.each(QUOTES)(
    '$quote is refused if a bit is changed',
    async ({ quote, at, size }) => {
      const bytes = readFileSync(tdx(quote));
      const accepted: string[] = [];
      for (const place of changedBits(size)) {
        const { code } = await verifyFiles(put('changed', withBit(bytes, place)), '--at', at);
        if (code !== 3) accepted.push(`${JSON.stringify(place)} gives ${code}`);
      }
      expect(accepted).toEqual([]);
    },
    20_000 + CHANGED_BITS * 1500,
  );
});
