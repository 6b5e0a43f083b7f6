import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInputs } from '../../conformance/make-inputs';
import type { GuestConfig } from '../manifest/model';
import { buildImage } from './build-image';
import { guest, openhcl, REQUEST_INPUTS, requestIn } from './build-request.fixture';
import { buildWithExternalLoader } from './external-loader';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-siblings-'));
const inputs = join(folder, 'inputs');
beforeAll(() => makeInputs(inputs, REQUEST_INPUTS));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(folder, 'out-'));
});

const isolations = {
  none: 'none',
  vbs: { vbs: { enable_debug: false } },
  tdx: { tdx: { enable_debug: true, sept_ve_disable: true } },
  snp: {
    snp: {
      shared_gpa_boundary_bits: 46,
      policy: 196639n,
      enable_debug: false,
      injection_type: 'normal',
      secure_avic: 'disabled',
    },
  },
} as const satisfies Record<string, GuestConfig['isolation_type']>;
type Isolation = keyof typeof isolations;

const request = (types: Isolation[]) =>
  requestIn(
    inputs,
    out,
    types.map((type) => guest(openhcl, { max_vtl: 2, isolation_type: isolations[type] })),
  );
const build = (...types: Isolation[]) => buildImage(request(types));
const path = (name: string): string => join(out, name);
const names = (): string[] => readdirSync(out).sort();
const IMAGE = ['image.igvm', 'image.igvm.map'];
const SNP = ['image-snp.cbor', 'image-snp.idblock', 'image-snp.json'];
const VBS = ['image-vbs.cbor', 'image-vbs.json'];

describe('sibling files of an earlier build', () => {
  it('are removed with their platform', async () => {
    await build('snp', 'tdx', 'vbs');
    expect(names()).toEqual([...SNP, 'image-tdx.cbor', 'image-tdx.json', ...VBS, ...IMAGE]);
    await build('vbs', 'snp');
    expect(names()).toEqual([...SNP, ...VBS, ...IMAGE]);
    await build('none');
    expect(names()).toEqual(IMAGE);
  });

  it('are removed when an external loader builds the image', async () => {
    if (process.platform === 'win32') return;
    await build('snp', 'vbs');
    const loader = join(folder, 'loader.js');
    const source = [
      `#!${process.execPath}`,
      `const output = process.argv[process.argv.indexOf('--output') + 1];`,
      `for (const end of ['.igvm', '-vbs.json']) require('fs').writeFileSync(output.replace('.igvm', end), 'new');`,
    ];
    writeFileSync(loader, source.join('\n'));
    chmodSync(loader, 0o755);
    const resources = new Map<never, never>();
    const loaded = { guest_arch: 'x64' as const, guest_configs: [] };
    await buildWithExternalLoader({ loader, loaded, manifest: 'none', resources, output: path('image.igvm') });
    // The map stays, because nothing is known about it except its name.
    expect(names()).toEqual(['image-vbs.json', ...IMAGE]);
    expect(readFileSync(path('image-vbs.json'), 'utf8')).toBe('new');
  });

  /** Each makes files that have the names of siblings but aren't, and returns those names. */
  const others: [what: string, prepare: () => string[]][] = [
    [
      'are something else',
      () => {
        writeFileSync(path('image-snp.json'), '{"compilerOptions":{}}');
        writeFileSync(path('image-snp.cbor'), Buffer.from('a163666f6f63626172', 'hex'));
        writeFileSync(path('image-snp.idblock'), Buffer.alloc(96, 1));
        return SNP;
      },
    ],
    [
      'are about another platform than their names say',
      () => {
        renameSync(path('image-tdx.json'), path('image-snp.json'));
        renameSync(path('image-tdx.cbor'), path('image-snp.cbor'));
        copyFileSync(path('image-vbs.json'), path('image-snp.idblock'));
        return SNP;
      },
    ],
    [
      'were changed by hand',
      () => {
        const document: unknown = JSON.parse(readFileSync(path('image-snp.json'), 'utf8'));
        writeFileSync(path('image-snp.json'), JSON.stringify(document, null, 2));
        for (const name of ['image-snp.idblock', 'image-snp.cbor']) appendFileSync(path(name), '\0');
        return SNP;
      },
    ],
    [
      'are links',
      () => {
        for (const name of SNP) {
          renameSync(path(name), path(`real-${name}`));
          symlinkSync(path(`real-${name}`), path(name));
        }
        return [...SNP, ...SNP.map((name) => `real-${name}`)];
      },
    ],
    [
      'are folders, or large',
      () => {
        for (const name of SNP) rmSync(path(name));
        mkdirSync(path('image-snp.json'));
        writeFileSync(path('image-snp.idblock'), Buffer.alloc(1 << 20));
        writeFileSync(path('image-snp.cbor'), Buffer.alloc(1 << 20, 0xd9));
        return SNP;
      },
    ],
    [
      'belong to an image of another name',
      () => {
        const other = SNP.map((name) => name.replace('image', 'other'));
        for (const [index, name] of SNP.entries()) renameSync(path(name), path(other[index]!));
        return other;
      },
    ],
  ];
  it.each(others)('are kept if they %s', async (_, prepare) => {
    await build('snp', 'tdx', 'vbs');
    const stay = prepare();
    await build('vbs');
    expect(names()).toEqual([...stay, ...VBS, ...IMAGE].sort());
  });

  it('are kept when the build reads them', async () => {
    await build('snp');
    const sibling = path('image-snp.json');
    await buildImage({ ...request(['vbs']), otherInputs: [sibling] });
    expect(names()).toEqual(['image-snp.json', ...VBS, ...IMAGE]);
  });

  it('are kept when the build fails', async () => {
    await build('snp');
    await expect(buildImage({ ...request(['vbs']), otherInputs: [path('image.igvm.map')] })).rejects.toThrow('replace');
    expect(names()).toEqual([...SNP, ...IMAGE]);
  });
});
