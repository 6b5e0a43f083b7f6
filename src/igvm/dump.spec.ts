import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { describeVpContext } from '../vp-context/decode';
import { describePageKind, dump, type Dump, dumpJson, dumpText, fieldsText, platformTypeName } from './dump';
import { anyIgvmFile, fileOf, hashes, patternPage, runOf, written } from './igvm-file.fixture';
import type { Directive, IgvmFile } from './model';
import { readIgvm } from './read-igvm';

async function dumpOf(file: IgvmFile): Promise<Dump> {
  const { bytes } = await written(file);
  return dumpBytes(bytes);
}

function dumpBytes(bytes: Uint8Array): Dump {
  const source = bytesSource(bytes);
  const file = readIgvm(source, hashes);
  return dump(file, source, (context) => describeVpContext(context, file.arch));
}

const text = (contents: Dump): string => [...dumpText(contents)].join('');
const json = (contents: Dump) =>
  JSON.parse([...dumpJson(contents)].join('')) as Record<
    'platforms' | 'initializations' | 'directives',
    { type: string }[]
  >;

const pages = (...seeds: number[]): Uint8Array => Buffer.concat(seeds.map(patternPage));

const fixture = (name: string): Uint8Array => readFileSync(join(__dirname, 'fixtures', `${name}.igvm`));

describe('dump', () => {
  it.each(['every-header-x64', 'every-header-aarch64', 'version-1'])(
    'shows every header of %s in text and JSON',
    (name) => {
      const bytes = fixture(name);
      const { platforms, initializations, directives } = json(dumpBytes(bytes));
      const file = readIgvm(bytesSource(bytes), hashes);
      expect(platforms).toHaveLength(file.platforms.length);
      expect(initializations.map(({ type }) => type)).toEqual(file.initializations.map(({ type }) => type));
      expect(new Set(directives.map(({ type }) => type))).toEqual(new Set(file.directives.map(({ type }) => type)));
      const shown = text(dumpBytes(bytes));
      for (const { type } of [...initializations, ...directives]) expect(shown).toContain(`\n  ${type}`);
      expect(shown).not.toContain('undecodable');
    },
  );

  it('is text for people: addresses in hexadecimal, masks as platform names, lists line by line', () => {
    const contents: Dump = {
      fixedHeader: { magic: 0x4d564749, formatVersion: 2, totalFileSize: 5000 },
      platforms: [
        { compatibilityMask: 1, platformType: 'VSM_ISOLATION', sharedGpaBoundary: 0n },
        { compatibilityMask: 0x80000000, platformType: 'TDX', sharedGpaBoundary: 1n << 47n },
      ],
      initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 0x80000000 }],
      directives: [
        { type: 'pageData', gpa: 0x1000, pages: 12, flags: ['UNMEASURED', 'SHARED'], compatibilityMask: 0x80000001 },
        { type: 'pageData', gpa: 0x2000, pages: 1, flags: [], compatibilityMask: 9 },
        { type: 'errorRange', size: 0x3000, compatibilityMask: 0 },
        {
          type: 'vpContext',
          compatibilityMask: 1,
          registers: [
            { name: 'rip', value: 16n },
            { name: 'gdtr', base: 32 },
          ],
        },
        {
          type: 'snpIdBlock',
          authorKeyEnabled: true,
          ld: Uint8Array.of(1, 255),
          key: { curve: 2, qx: new Uint8Array(2) },
        },
      ],
    };
    expect(text(contents)).toBe(
      [
        'Total file size: 5000 bytes',
        '',
        'Fixed header:',
        '  magic 0x4d564749  formatVersion 2  totalFileSize 5000',
        '',
        'Platforms:',
        '  compatibilityMask 1  platformType VSM_ISOLATION  sharedGpaBoundary 0x0',
        '  compatibilityMask 2147483648  platformType TDX  sharedGpaBoundary 0x800000000000',
        '',
        'Initialization headers:',
        '  guestPolicy         policy 0x30000  for TDX',
        '',
        'Directives:',
        '  pageData            gpa 0x1000  pages 12  flags UNMEASURED, SHARED  for VSM_ISOLATION, TDX',
        '  pageData            gpa 0x2000  pages 1  for VSM_ISOLATION, mask 0x8',
        '  errorRange          size 0x3000  for mask 0x0',
        '  vpContext           for VSM_ISOLATION',
        '      rip  value 0x10',
        '      gdtr  base 0x20',
        '  snpIdBlock          authorKeyEnabled true  ld 01ff  key { curve 2, qx 0000 }',
        '',
      ].join('\n'),
    );
  });

  it('says so when a list is empty', () => {
    expect(fieldsText({ flags: [], name: 'x' })).toBe('flags none  x');
  });

  it('is JSON for programs, one header per line', () => {
    const contents: Dump = {
      fixedHeader: { totalFileSize: 1 },
      platforms: [],
      initializations: [{ type: 'a', flag: true }],
      directives: [
        { type: 'b', bytes: Uint8Array.of(0, 16, 255) },
        { type: 'c', bits: 31n, list: ['x'] },
      ],
    };
    expect([...dumpJson(contents)].join('')).toBe(
      [
        '{',
        '"fixedHeader": {"totalFileSize":1},',
        '"platforms": [',
        '],',
        '"initializations": [',
        '{"type":"a","flag":true}',
        '],',
        '"directives": [',
        '{"type":"b","bytes":"0010ff"},',
        '{"type":"c","bits":"0x1f","list":["x"]}',
        ']',
        '}',
        '',
      ].join('\n'),
    );
  });

  it('shows the fixed header as stored, with architecture and page size from version 2 on', async () => {
    const first = await dumpOf(fileOf([]));
    expect(first.fixedHeader).toMatchObject({
      magic: 0x4d564749,
      formatVersion: 1,
      variableHeaderOffset: 24,
      variableHeaderSize: 24,
      totalFileSize: 48,
      architecture: 'x64',
    });
    expect(first.fixedHeader).not.toHaveProperty('pageSize');
    const second = await dumpOf(fileOf([], { version: 2, arch: 'aarch64' }));
    expect(second.fixedHeader).toMatchObject({ formatVersion: 2, architecture: 'aarch64', pageSize: 4096 });
  });

  it('shows unnamed values as numbers', () => {
    expect(platformTypeName(2)).toBe('SEV_SNP');
    expect(platformTypeName(99)).toBe('99');
    expect(describePageKind({ dataType: 1, flags: 2 })).toEqual({ dataType: 'SECRETS', flags: ['UNMEASURED'] });
    expect(describePageKind({ dataType: 9, flags: 8 })).toEqual({ dataType: '9', flags: ['0x8'] });
    expect(describePageKind({ dataType: 0, flags: 0x8000_000c }).flags).toEqual(['SHARED', '0x80000008']);
  });

  it('shows nested structures as records and CoRIMs by their size', async () => {
    const half = { r: new Uint8Array(72), s: new Uint8Array(72) };
    const key = { curve: 2, qx: new Uint8Array(72), qy: new Uint8Array(72) };
    const block: Directive = {
      type: 'snpIdBlock',
      compatibilityMask: 1,
      authorKeyEnabled: false,
      ld: new Uint8Array(48),
      familyId: new Uint8Array(16),
      imageId: new Uint8Array(16),
      version: 1,
      guestSvn: 2,
      idKeyAlgorithm: 1,
      authorKeyAlgorithm: 0,
      idKeySignature: half,
      idPublicKey: key,
      authorKeySignature: half,
      authorPublicKey: key,
    };
    const initializations: IgvmFile['initializations'] = [
      { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(patternPage(1).subarray(0, 100)) },
      { type: 'corimSignature', compatibilityMask: 1, content: bytesSource(patternPage(2).subarray(0, 50)) },
    ];
    const contents = await dumpOf(fileOf([block], { initializations }));
    expect([...contents.directives]).toEqual([block]);
    expect(contents.initializations).toEqual([
      { type: 'corimDocument', compatibilityMask: 1, size: 100 },
      { type: 'corimSignature', compatibilityMask: 1, size: 50 },
    ]);
  });

  it('shows adjacent pages as one run, wherever their data lies', async () => {
    const contents = await dumpOf(
      fileOf([
        runOf(0, pages(1, 2, 1)),
        runOf(3 * PAGE_SIZE, pages(0), { pageCount: 2 }),
        runOf(5 * PAGE_SIZE, pages(1), { flags: 4 }),
        runOf(9 * PAGE_SIZE, pages(1), { flags: 4 }),
        runOf(10 * PAGE_SIZE, pages(1), { flags: 4, dataType: 1 }),
        runOf(11 * PAGE_SIZE, pages(1), { flags: 4, dataType: 1, compatibilityMask: 2 }),
        { type: 'errorRange', gpa: 0, size: 4096, compatibilityMask: 1 },
        runOf(12 * PAGE_SIZE, pages(1), { flags: 4, dataType: 1, compatibilityMask: 2 }),
      ]),
    );
    expect([...contents.directives]).toEqual([
      expect.objectContaining({ gpa: 0, end: 5 * PAGE_SIZE, pages: 5, emptyPages: 1, flags: [] }),
      expect.objectContaining({ gpa: 5 * PAGE_SIZE, end: 6 * PAGE_SIZE, pages: 1, flags: ['SHARED'] }),
      expect.objectContaining({ gpa: 9 * PAGE_SIZE, end: 10 * PAGE_SIZE, pages: 1, flags: ['SHARED'] }),
      expect.objectContaining({ gpa: 10 * PAGE_SIZE, dataType: 'SECRETS', compatibilityMask: 1 }),
      expect.objectContaining({ gpa: 11 * PAGE_SIZE, dataType: 'SECRETS', compatibilityMask: 2 }),
      { type: 'errorRange', gpa: 0, size: 4096, compatibilityMask: 1 },
      expect.objectContaining({ gpa: 12 * PAGE_SIZE }),
    ]);
  });

  it('reads no page of the image, whatever its size', async () => {
    const { bytes } = await written(fileOf([runOf(0, pages(1, 2, 3))]));
    const whole = bytesSource(bytes);
    const file = readIgvm(whole, hashes);
    let read = 0;
    const counted = {
      size: whole.size,
      read: (at: number, to: Uint8Array) => ((read += to.length), whole.read(at, to)),
    };
    expect(text(dump(file, counted, () => []))).toContain('pages 3');
    expect(read).toBeLessThanOrEqual(32);
  });

  it('names platforms, and bits of a mask that belong to none', async () => {
    const contents = await dumpOf(fileOf([runOf(0, pages(1))]));
    expect(text(contents)).toMatch(/pageData .* for VSM_ISOLATION\n/);
    const directives = [{ type: 'errorRange', gpa: 0, size: 4096, compatibilityMask: 0x80000000 }];
    expect(text({ ...contents, directives })).toContain('for mask 0x80000000');
  });

  it('writes numbers that JSON cannot hold as hexadecimal strings', async () => {
    const file = fileOf([]);
    const policy = 2n ** 64n - 1n;
    const initializations: IgvmFile['initializations'] = [{ type: 'guestPolicy', policy, compatibilityMask: 1 }];
    expect(json(await dumpOf({ ...file, initializations })).initializations).toEqual([
      { type: 'guestPolicy', policy: '0xffffffffffffffff', compatibilityMask: 1 },
    ]);
  });

  it('gives the reason for a context that it cannot decode', async () => {
    const data = Uint8Array.of(1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, ...new Uint8Array(27));
    const context: Directive = { type: 'vpContext', format: 'vbs', gpa: 0, compatibilityMask: 1, vpIndex: 0, data };
    expect(text(await dumpOf(fileOf([context])))).toMatch(/undecodable .*unknown register 0xffffffff/);
  });

  it('escapes text from a file before it reaches the terminal', async () => {
    const value = 'v1\u001b[2J\u009b2J\u202eevil\u2028\nDirectives:';
    const initializations: IgvmFile['initializations'] = [{ type: 'versionString', value }];
    const contents = await dumpOf({ ...fileOf([]), initializations });
    const shown = text(contents);
    expect(shown.match(/^Directives:/gm)).toHaveLength(1);
    for (const output of [shown, [...dumpJson(contents)].join('')]) {
      expect(output).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}]/u);
    }
    expect(json(contents).initializations).toEqual(initializations);
  });

  it('accepts any file', async () => {
    await fc.assert(
      fc.asyncProperty(anyIgvmFile(), async (file) => {
        const contents = await dumpOf(file);
        expect(json(contents).platforms).toHaveLength(file.platforms.length);
        expect(text(contents)).toContain('Directives:');
      }),
      { numRuns: 50 },
    );
  });

  it('shows the size of a parameter area and of its initial data', async () => {
    const areas: Directive[] = [
      { type: 'parameterArea', index: 0, size: 2 * PAGE_SIZE, initialData: bytesSource(patternPage(3)) },
      { type: 'parameterArea', index: 1, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
    ];
    const { directives } = await dumpOf(fileOf(areas));
    expect([...directives]).toEqual([
      { type: 'parameterArea', index: 0, size: 2 * PAGE_SIZE, initialDataSize: 2 * PAGE_SIZE },
      { type: 'parameterArea', index: 1, size: PAGE_SIZE, initialDataSize: 0 },
    ]);
  });
});
