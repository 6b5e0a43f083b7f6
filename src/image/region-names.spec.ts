import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildManifest } from '../builder/build-manifest';
import { updateFiles, wrapFiles } from '../builder/ovmf-image';
import { diffFiles } from '../diff/diff-images';
import { readImage } from '../files/igvm-image';
import { inspectImage } from '../inspect/inspect-file';
import { efiProgram, ovmfFirmware, SEV_REGIONS, variableStore } from '../loader/ovmf/ovmf-firmware.fixture';
import { fitsMap } from '../regions/guest-regions';
import { mapBeside } from '../regions/image-map';
import { ukiFile } from '../uki/uki.fixture';
import { ovmfMeasured, regionNames } from './region-names';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-names-'));
  writeFileSync(at('OVMF.fd'), ovmfFirmware({ sev: SEV_REGIONS }));
  writeFileSync(at('VARS.fd'), variableStore());
  writeFileSync(at('linux.efi'), ukiFile({ '.linux': 'one' }));
  writeFileSync(at('newer.efi'), ukiFile({ '.linux': 'two' }));
  writeFileSync(at('plain.efi'), efiProgram('three'));
  await wrapFiles({
    firmware: at('OVMF.fd'),
    vars: at('VARS.fd'),
    native: true,
    snp: true,
    parameters: true,
    bootMode: 'real16',
    output: at('wrapped.igvm'),
  });
  for (const [program, output] of [
    ['linux.efi', 'one.igvm'],
    ['newer.efi', 'two.igvm'],
  ] as const) {
    const options = { addHashes: true, arch: 'x64' } as const;
    await updateFiles({ image: at('wrapped.igvm'), kernel: at(program), ...options, output: at(output) });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('an image of OVMF without a map file', () => {
  it('has the same names that a build gives the image', async () => {
    const snp = { policy: 0x30000, enable_debug: false, injection_type: 'normal' };
    const guests = ['none', { snp }].map((isolation_type) => ({
      guest_svn: 1,
      max_vtl: 0,
      isolation_type,
      image: { ovmf: { secure_boot: { hashes: true } } },
    }));
    const resources = { ovmf_code: 'OVMF.fd', ovmf_vars: 'VARS.fd', uki: 'linux.efi' };
    writeFileSync(at('igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: guests, resources }));
    await buildManifest({ manifest: at('igvm.json'), output: at('built.igvm') });
    expect(readFileSync(at('built.igvm')).equals(readFileSync(at('one.igvm')))).toBe(true);
    const file = readImage(at('one.igvm'));
    const names = regionNames(at('one.igvm'), file)!;
    const built = mapBeside(at('built.igvm'))!;
    const texts = (map: typeof names): string[][] =>
      map.map((ranges) => ranges.map(({ gpa, end, tag }) => `${gpa.toString(16)}-${end.toString(16)} ${tag}`));
    expect(texts(names)).toEqual(texts(built));
    expect(fitsMap(file, names)).toBe(true);
  });

  it('distinguishes a UKI from other programs', async () => {
    const options = { addHashes: false, arch: 'x64' } as const;
    await updateFiles({ image: at('wrapped.igvm'), kernel: at('plain.efi'), ...options, output: at('plain.igvm') });
    const file = readImage(at('plain.igvm'));
    const names = regionNames(at('plain.igvm'), file)!
      .flat()
      .map(({ tag }) => tag);
    expect([names.includes('linux-kernel'), names.includes('uki')]).toEqual([true, false]);
    expect(ovmfMeasured(file)).toMatch(/list of programs, kernel; not measured/);
  });

  it('is compared by these names', async () => {
    const { guests } = await diffFiles(at('one.igvm'), at('two.igvm'));
    const changed = JSON.stringify(guests);
    for (const name of ['secure-boot-db', 'uki']) expect(changed).toContain(name);
    expect(changed).not.toContain('ovmf-code');
  });

  it('shows which regions are measured, in the page and in the text', async () => {
    const expected =
      /measured: firmware, variable store, list of programs, PK, KEK, db, dbx; not measured: UKI, what the VMM/;
    expect(ovmfMeasured(readImage(at('one.igvm')))).toMatch(expected);
    expect(ovmfMeasured(readImage(at('wrapped.igvm')))).toBe(
      'measured: firmware, variable store; not measured: what the VMM fills in',
    );
    let text = '';
    const write = (part: string): void => void (text += part);
    for (const format of ['text', 'html'] as const) {
      text = '';
      await inspectImage({ image: at('one.igvm'), name: 'one.igvm', format, write });
      expect(text).toMatch(expected);
    }
    expect(text).toContain('secure-boot-dbx');
  });

  it('shows the contents of a UKI, in the page and in the text', async () => {
    const uki = ukiFile({ '.cmdline': 'quiet <b>\u001b', '.linux': new Uint8Array(700) });
    writeFileSync(at('uki.efi'), uki);
    await updateFiles({
      image: at('wrapped.igvm'),
      kernel: at('uki.efi'),
      addHashes: false,
      arch: 'x64',
      output: at('uki.igvm'),
    });
    const texts: string[] = [];
    for (const format of ['text', 'html'] as const) {
      const write = (part: string): void => void texts.push(part);
      await inspectImage({ image: at('uki.igvm'), name: 'uki.igvm', format, write });
    }
    expect(texts.join('')).toContain('UKI .cmdline: quiet <b>\\u{1b}\n');
    expect(texts.join('')).toMatch(/UKI \.linux: 700 bytes, SHA-256 [0-9a-f]{64}\n/);
    expect(texts.at(-1)).toMatch(/<dt>UKI \.cmdline<\/dt><dd><code>quiet &lt;b&gt;\\u\{1b\}<\/code>/);
    expect(texts.at(-1)).toMatch(/<dt>UKI \.linux<\/dt><dd><code>700 bytes, SHA-256 /);
  });

  it('has the names of its map file once it has one', () => {
    copyFileSync(at('two.igvm'), at('mapped.igvm'));
    writeFileSync(at('mapped.igvm.map'), '');
    expect(regionNames(at('mapped.igvm'), readImage(at('mapped.igvm')))).toEqual([]);
  });
});
