import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { placeCase, runProgram } from '../../conformance/cases';
import { makeInputs } from '../../conformance/make-inputs';
import { IGVMFILEGEN, IGVMINSPECT, NX_IGVM } from '../cli/programs';
import { withImage } from '../files/igvm-image';
import { fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { extractImage, safeName } from './extract-image';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-extract-'));
const inputs = join(folder, 'inputs');
beforeAll(() => makeInputs(inputs));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Builds a case of the conformance suite. */
async function built(name: string): Promise<string> {
  const cwd = mkdtempSync(join(folder, 'case-'));
  placeCase(name, cwd, inputs);
  const args = ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'];
  expect(await runProgram(IGVMFILEGEN, args, cwd)).toMatchObject({ exitCode: 0 });
  return cwd;
}

const lines = (path: string): string[][] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('  '));

describe('extractImage', () => {
  it.each(['cases/multi-vbs-snp-tdx', 'cases-head/sld-shim'])('extracts every page of %s', async (name) => {
    const cwd = await built(name);
    const output = join(cwd, 'parts');
    const report = await extractImage({ image: join(cwd, 'out.igvm'), output });
    expect(report.contexts).toBeGreaterThan(0);
    const regions = lines(join(output, 'regions.txt'));
    expect(readdirSync(join(output, 'regions')).sort()).toEqual(
      regions.map(([path]) => path!.slice('regions/'.length)),
    );
    await withImage(join(cwd, 'out.igvm'), ({ file }) => {
      let pages = 0;
      for (const directive of file.directives) {
        if (directive.type !== 'pageData') continue;
        const bits = directive.compatibilityMask.toString(2).replaceAll('0', '').length;
        pages += directive.pageCount * bits;
        const stored = new Uint8Array(directive.pageCount * PAGE_SIZE);
        directive.content.read(0, stored.subarray(0, directive.content.size));
        const platform = file.platforms.findIndex(
          ({ compatibilityMask }) => (compatibilityMask & directive.compatibilityMask) !== 0,
        );
        const names = ['VSM_ISOLATION', 'SEV_SNP', 'TDX'];
        const type = { 1: names[0], 2: names[1], 3: names[2] }[file.platforms[platform]!.platformType as 1 | 2 | 3];
        const [path, range] = regions.find(([, place, , each]) => {
          const [start, end] = place!.split('-').map(Number) as [number, number];
          return each === type && start <= directive.gpa && directive.gpa < end;
        })!;
        const bytes = readFileSync(join(output, path!));
        const at = directive.gpa - Number(range!.split('-')[0]);
        expect(bytes.subarray(at, at + stored.length).equals(stored.subarray(0, bytes.length - at))).toBe(true);
      }
      const extracted = regions.reduce((sum, [, , count]) => sum + Number(count!.replace('pages ', '')), 0);
      expect(extracted).toBe(pages);
    });
  });

  it('takes names of regions from the map beside the image or a given one, and lists headers', async () => {
    const cwd = await built('cases-head/sld-shim');
    const beside = join(cwd, 'parts');
    await extractImage({ image: join(cwd, 'out.igvm'), output: beside });
    const names = readdirSync(join(beside, 'regions'));
    expect(names).toContain('0002_linux-commandline.txt');
    expect(names.some((name) => /^\d{4}_snp-bootshim-params\.bin$/.test(name))).toBe(true);
    expect(readFileSync(join(beside, 'headers/platforms.txt'), 'utf8')).toContain('SEV_SNP');
    expect(readFileSync(join(beside, 'headers/initializations.txt'), 'utf8')).toContain('guestPolicy');
    expect(readFileSync(join(beside, 'metadata.txt'), 'utf8')).toContain('Directives:');
    expect(readdirSync(join(beside, 'vp_context'))).toEqual(['snp_vp0.bin']);
    expect(existsSync(join(beside, 'parameter_areas'))).toBe(false);
    const map = join(cwd, 'out.igvm.map');
    const given = join(cwd, 'given');
    await extractImage({ image: join(cwd, 'out.igvm'), output: given, map });
    expect(readdirSync(join(given, 'regions'))).toEqual(names);
    rmSync(map);
    await extractImage({ image: join(cwd, 'out.igvm'), output: join(cwd, 'bare') });
    expect(readdirSync(join(cwd, 'bare/regions')).every((name) => name.endsWith('_unmapped.bin'))).toBe(true);
  });

  it('is the same as igvminspect extract and nx-igvm extract', async () => {
    const cwd = await built('cases/openhcl-x64-vbs');
    const a = await runProgram(IGVMINSPECT, ['extract', '-f', 'out.igvm', '-m', 'out.igvm.map', '-o', 'a'], cwd);
    const b = await runProgram(NX_IGVM, ['extract', 'out.igvm', '-o', 'b'], cwd);
    expect([a, b]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);
    expect(a.stdout.replace('a:', 'b:')).toBe(b.stdout);
    const dumped = await runProgram(IGVMINSPECT, ['dump', '-f', 'out.igvm'], cwd);
    expect(dumped.stdout).toBe((await runProgram(NX_IGVM, ['dump', 'out.igvm'], cwd)).stdout);
    expect(readdirSync(join(cwd, 'b/vp_context'))).toEqual(readdirSync(join(cwd, 'a/vp_context')));
    expect(readdirSync(join(cwd, 'b/vp_context')).some((name) => /^x64_vbs_Vtl\d_vp0\.txt$/.test(name))).toBe(true);
  });

  it('writes into a new folder only, and leaves nothing behind when it fails', async () => {
    const cwd = mkdtempSync(join(folder, 'failing-'));
    const image = join(cwd, 'a.igvm');
    const file = fileOf([runOf(0, patternPage(1)), runOf(4 * PAGE_SIZE, patternPage(2))], {
      platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION)],
    });
    writeFileSync(image, (await written(file)).bytes);
    mkdirSync(join(cwd, 'there'));
    const failing = (map: string | undefined, output = 'parts') => {
      if (map !== undefined) writeFileSync(join(cwd, 'map'), map);
      return extractImage({ image, output: join(cwd, output), map: map === undefined ? undefined : join(cwd, 'map') });
    };
    await expect(failing(undefined, 'there')).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    await expect(failing(undefined, 'no/parent')).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    const head = 'IGVM file isolation: Vbs { enable_debug: true }\nIGVM file layout:\n';
    const range = (start: number, end: number, tag: string): string =>
      `  ${start.toString(16).padStart(16, '0')} - ${end.toString(16).padStart(16, '0')} (0x1 bytes) ${tag}\n`;
    for (const [map, message] of [
      ['', 'is not a map file'],
      ['IGVM file isolation: Snp\n', "isolation Snp, which the image doesn't have"],
      [head + range(0, 0, 'a'), 'has no pages'],
      [head + range(0, 0x1001, 'a'), 'whole pages'],
      [head + range(0, 0x2000, 'a') + range(0x1000, 0x3000, 'b'), 'overlaps'],
    ] as const) {
      await expect(failing(map)).rejects.toMatchObject({
        code: 'MAP_INVALID',
        message: expect.stringContaining(message) as string,
      });
    }
    expect(readdirSync(cwd).sort()).toEqual(['a.igvm', 'map', 'there']);
    await failing(`${head}${range(0, 0x1000, '../../../etc/passwd')}`);
    expect(readdirSync(join(cwd, 'parts/regions'))).toEqual([
      '0000_%2E%2E%2F%2E%2E%2F%2E%2E%2Fetc%2Fpasswd.bin',
      '0001_unmapped.bin',
    ]);
  });

  it('makes names that every file system accepts', () => {
    expect(safeName('linux-initrd_2')).toBe('linux-initrd_2');
    expect(safeName('a/b\\c é\0')).toBe('a%2Fb%5Cc%20%C3%A9%00');
    expect(safeName('é'.repeat(300)).length).toBeLessThanOrEqual(200);
  });
});
