import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileOf, platformOf, runOf, patternPage, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { measure, measureFile, measureFileLaunches } from './measure';

describe('measureFile', () => {
  let folder: string;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'measure-file-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  const guest = (type: PlatformType) => fileOf([runOf(0x1000, patternPage(1))], { platforms: [platformOf(type)] });
  async function image(type: PlatformType): Promise<string> {
    const path = join(folder, `${type}.igvm`);
    writeFileSync(path, (await written(guest(type))).bytes);
    return path;
  }

  it('measures an image on disk as the same image in memory', async () => {
    const path = await image(PLATFORM_TYPE.VSM_ISOLATION);
    const measurements = await measureFile(path);
    expect(measurements).toEqual(await measure(guest(PLATFORM_TYPE.VSM_ISOLATION)));
    expect(measurements).toHaveLength(1);
    expect(await measureFile(path, { platforms: ['vbs'] })).toEqual(measurements);
    expect(await measureFileLaunches(path)).toEqual({ measurements, refusals: [] });
  });

  it('finds nothing to measure in a native image, unless a platform is asked for, which it does not have', async () => {
    const path = await image(PLATFORM_TYPE.NATIVE);
    expect(await measureFile(path)).toEqual([]);
    await expect(measureFile(path, { platforms: ['snp'] })).rejects.toMatchObject({ code: 'MEASUREMENT_UNAVAILABLE' });
  });

  it('names the file that it can not measure', async () => {
    const path = join(folder, 'missing.igvm');
    await expect(measureFile(path)).rejects.toMatchObject({ code: 'FILE_UNREADABLE', where: { file: path } });
  });
});
