import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { lockOfImage } from './lock-of-image';
import type { MeasurementLock } from './lock-schema';

/** A TDX guest with one page of a kernel and one of an initrd. The numbers determine their contents. */
export const tdxFile = (kernel = 1, initrd = 2, more: Directive[] = []): IgvmFile =>
  fileOf([runOf(0, patternPage(kernel)), runOf(PAGE_SIZE, patternPage(initrd)), ...more], {
    platforms: [platformOf(PLATFORM_TYPE.TDX)],
  });

/** The map file of {@link tdxFile}. */
export const TDX_MAP = [
  'IGVM file isolation: Tdx',
  'IGVM file layout:',
  '  0000000000000000 - 0000000000001000 (0x1000 bytes) linux-kernel',
  '  0000000000001000 - 0000000000002000 (0x1000 bytes) linux-initrd',
  '',
].join('\n');

export const TDX_TAGS = [
  [
    { gpa: 0, end: PAGE_SIZE, tag: 'linux-kernel' },
    { gpa: PAGE_SIZE, end: 2 * PAGE_SIZE, tag: 'linux-initrd' },
  ],
];

export const lockOf = (file: IgvmFile): Promise<MeasurementLock> => lockOfImage(file, TDX_TAGS);

/** A folder with an image in it. */
export async function imageFolder(
  file: IgvmFile,
  map?: string,
): Promise<{ folder: string; image: string; lock: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-lock-'));
  const image = join(folder, 'guest.igvm');
  writeFileSync(image, (await written(file)).bytes);
  if (map !== undefined) writeFileSync(`${image}.map`, map);
  return { folder, image, lock: join(folder, 'igvm.lock.json') };
}
