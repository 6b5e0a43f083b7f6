/** Tests whether evidence is genuine. The tests sign it with their own keys. */
import {
  amdChain,
  CHIP_ID,
  type Issued,
  issue,
  type ReportFields,
  revocationList,
  signedReport,
} from './amd-chain.fixture';
import { type Chain, inFolder, put, verifyFiles, verifyOwn } from './evidence-run.fixture';

const MILAN = amdChain();

describe('a report with a trusted chain', () => {
  it('is genuine by itself, in the firmware’s response, and as hexadecimal digits', async () => {
    const report = signedReport({}, MILAN.leaf.key);
    const header = Buffer.alloc(32);
    header.writeUInt32LE(0x4a0, 4);
    const digits = report.toString('hex').replaceAll(/.{64}/g, '$&\n');
    for (const form of [report, Buffer.concat([header, report]), Buffer.from(digits), Buffer.from(`0x${digits}`)]) {
      const { code, verdict, failed } = await verifyOwn(form, MILAN);
      expect({ code, verdict, failed }).toEqual({ code: 0, verdict: 'genuine', failed: [] });
    }
  });

  it.each([2, 3, 4, 5])('is read in version %i', async (version) => {
    const report = signedReport({ version, ...(version > 2 ? { cpu: [0x19, 1] } : {}) }, MILAN.leaf.key);
    expect(await verifyOwn(report, MILAN)).toMatchObject({ code: 0, failed: [] });
  });

  it.each([1, 6, 77])('is refused in the unknown version %i', async (version) => {
    const { code, failed } = await verifyOwn(signedReport({ version, cpu: [0x19, 1] }, MILAN.leaf.key), MILAN);
    expect([code, failed[0]]).toEqual([3, `report version: ${version} is not known (known: 2, 3, 4, 5)`]);
  });

  it('is read as its generation requires: Turin has its own order of firmware versions', async () => {
    const tcb = Buffer.from([1, 2, 3, 4, 0, 0, 0, 200]);
    const chipId = CHIP_ID.subarray(0, 8);
    const turin = amdChain('Turin', { tcb, chipId });
    const fields: ReportFields = { version: 5, cpu: [0x1a, 2], tcb, chipId };
    const { failed, text } = await verifyOwn(signedReport(fields, turin.leaf.key), turin);
    expect(failed).toEqual([]);
    expect(text).toContain('fmc=1,bootloader=2,tee=3,snp=4,microcode=200');
    const genoa = { ...fields, cpu: [0x19, 0x11] as [number, number] };
    const other = await verifyOwn(signedReport(genoa, turin.leaf.key), turin);
    expect([other.code, other.failed]).toEqual([
      3,
      ['processor generation: the chain is of Turin, the report is from Genoa (family 25, model 17)'],
    ]);
  });

  it('may be signed by the key of a cloud provider, but not by a key that only claims to be one', async () => {
    const vlek = amdChain('Genoa', { kind: 'VLEK' });
    const report = signedReport({ signingKey: 1, chipId: Buffer.alloc(64) }, vlek.leaf.key);
    expect(await verifyOwn(report, vlek)).toMatchObject({ code: 0, failed: [] });
    const claimed = signedReport({ signingKey: 1 }, MILAN.leaf.key);
    expect((await verifyOwn(claimed, MILAN)).failed[0]).toContain('there is no certificate of SEV-VLEK');
    const unsigned = await verifyOwn(signedReport({ signingKey: 7 }, MILAN.leaf.key), MILAN);
    expect(unsigned).toMatchObject({ code: 3, verdict: 'not genuine' });
  });

  it('is verified with the certificates that the host added after it', async () => {
    const { ark, ask, leaf } = MILAN;
    const entries: [string, Buffer][] = [
      ['63da758de6644564adc5f4b93be8accd', leaf.der],
      ['8d75da6364e66445adc5f4b93be8accd', leaf.der],
      ['4ab7b379bbac4fe4a02f05aef327c782', ask.der],
      ['c0b406a4a803495297433fb6014cd0ae', ark.der],
      ['00112233445566778899aabbccddeeff', Buffer.from('an entry of the host')],
    ];
    const extended = (rows: [string, Buffer][]): Buffer => {
      let offset = 24 * (rows.length + 1);
      const heads = rows.map(([guid, content]) => {
        const head = Buffer.concat([Buffer.from(guid, 'hex'), Buffer.alloc(8)]);
        head.writeUInt32LE(offset, 16);
        head.writeUInt32LE(content.length, 20);
        offset += content.length;
        return head;
      });
      return Buffer.concat([...heads, Buffer.alloc(24), ...rows.map(([, content]) => content)]);
    };
    const report = signedReport({}, leaf.key);
    const flags = ['--root', put('ark.der', ark.der), '--at', '2026-03-01'];
    const whole = await verifyFiles(put('r', Buffer.concat([report, extended(entries)])), ...flags);
    expect(whole).toMatchObject({ code: 0, failed: [] });
    const beside = await verifyFiles(put('r', report), ...flags, '--certificate', put('auxblob', extended(entries)));
    expect(beside).toMatchObject({ code: 0, failed: [] });
    const renamed = extended([...entries.slice(0, 3), ['c0b406a4a803495297433fb6014cd0af', ark.der]]);
    const odd = await verifyFiles(put('r', Buffer.concat([report, renamed])), ...flags);
    expect([odd.code, odd.text]).toEqual([3, expect.stringContaining('a certificate under an unknown GUID')]);
    const cut = await verifyFiles(put('r', Buffer.concat([report, extended(entries).subarray(0, 400)])), ...flags);
    expect([cut.code, cut.text]).toEqual([3, expect.stringContaining('EVIDENCE_INVALID')]);
  });

  it('is refused with a root that is given but not trusted', async () => {
    const { ark, ask, leaf } = MILAN;
    const files = [ark, ask, leaf].flatMap(({ der }, index) => ['--certificate', put(`${index}.der`, der)]);
    const report = put('report.bin', signedReport({}, leaf.key));
    const { code, failed } = await verifyFiles(report, ...files, '--at', '2026-03-01');
    expect([code, failed.length]).toEqual([3, 1]);
    expect(failed[0]).toContain('root certificate: ARK-Milan');
  });

  it.each<[string, () => [Chain, ReportFields], RegExp]>([
    [
      'an expired certificate',
      () => [amdChain('Milan', { years: [2020, 2025] }), {}],
      /^validity: SEV-VCEK .*2025-01-01/,
    ],
    [
      'a certificate that is not valid yet',
      () => [amdChain('Milan', { years: [2027, 2030] }), {}],
      /^validity: SEV-VCEK/,
    ],
    [
      'a chain of another generation',
      () => [{ ...amdChain('Genoa'), leaf: MILAN.leaf }, {}],
      /^certificates given: .*SEV-VCEK|^certificate chain/,
    ],
    [
      'a leaf certificate for another generation',
      () => {
        const genoa = amdChain('Genoa');
        const extensions = Object.fromEntries(MILAN.leaf.certificate.extensions);
        return [{ ...genoa, leaf: issue({ commonName: 'SEV-VCEK', issuer: genoa.ask, extensions }) }, {}];
      },
      /^processor generation: the chain is of Genoa, the certificate is for "Milan-B0"/,
    ],
    [
      'other firmware',
      () => [MILAN, { tcb: Buffer.from([4, 0, 0, 0, 0, 0, 25, 219]) }],
      /^TCB of the key: snp is 25 in/,
    ],
    ['another chip', () => [MILAN, { chipId: Buffer.alloc(64, 1) }], /^chip: report and certificate name different/],
    [
      'a leaf certificate that the root itself issued',
      () => {
        const { certificate } = MILAN.leaf;
        const leaf = issue({
          commonName: 'SEV-VCEK',
          issuer: MILAN.ark,
          extensions: Object.fromEntries(certificate.extensions),
        });
        return [{ ...MILAN, leaf }, {}];
      },
      /^processor generation: ARK-Milan and ARK-Milan/,
    ],
  ])('is not genuine with %s', async (_, make, reason) => {
    const [chain, fields] = make();
    const { code, failed } = await verifyOwn(signedReport(fields, chain.leaf.key), chain);
    expect(code).toBe(3);
    expect(failed).toEqual(expect.arrayContaining([expect.stringMatching(reason)]));
  });

  it('is not genuine with a revoked certificate, or with an invalid revocation list', async () => {
    const report = signedReport({}, MILAN.leaf.key);
    const withList = (issuer: Issued, serials: number[], years?: [number, number]) =>
      verifyOwn(report, MILAN, '--crl', put('list.crl', revocationList(issuer, serials, years)));
    expect(await withList(MILAN.ark, [7])).toMatchObject({ code: 0, failed: [] });
    expect(await withList(MILAN.ark, [2])).toMatchObject({
      code: 3,
      failed: [expect.stringContaining('ARK-Milan has revoked SEV-Milan')],
    });
    expect((await withList(MILAN.ask, [3])).failed).toEqual([
      expect.stringContaining('SEV-Milan has revoked SEV-VCEK'),
    ]);
    expect((await withList(MILAN.ark, [], [2020, 2021])).failed).toEqual([expect.stringContaining('is valid from')]);
    const forged = issue({ commonName: 'ARK-Milan' });
    expect((await withList(forged, [])).failed).toEqual([expect.stringContaining('is not signed by ARK-Milan')]);
    const foreign = issue({ commonName: 'ARK-Genoa' });
    expect((await withList(foreign, [])).failed).toEqual([expect.stringContaining('is not about a certificate')]);
  });

  it('is refused with a clear message if it, or a certificate, is something else', async () => {
    const report = put('report.bin', signedReport({}, MILAN.leaf.key));
    for (const [name, bytes] of [
      ['empty', Buffer.alloc(1)],
      ['short', Buffer.alloc(0x49f, 2)],
      ['text', Buffer.from('not a report')],
    ] as const) {
      const { code, text } = await verifyFiles(put(name, bytes));
      expect([code, text]).toEqual([3, expect.stringContaining('[EVIDENCE_INVALID]')]);
    }
    for (const bytes of [
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'text',
      Buffer.from([0x30, 0x80]),
    ]) {
      const { code, text } = await verifyFiles(report, '--certificate', put('odd', bytes));
      expect([code, text]).toEqual([3, expect.stringContaining('[CERTIFICATE_INVALID]')]);
    }
    for (const flags of [
      ['--at', 'yesterday'],
      ['--nonce', '00'],
      ['--minimum-tcb', 'snp'],
      ['--vmpl', '4'],
      ['--vcpus', '2'],
    ]) {
      expect(await verifyFiles(report, ...flags)).toMatchObject({ code: 2, text: expect.stringContaining('[USAGE]') });
    }
    expect(await verifyFiles(inFolder('missing'))).toMatchObject({ code: 1 });
  });
});
