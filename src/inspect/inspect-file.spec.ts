import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeImage } from '../files/igvm-image';
import { nativeImage } from '../boot/native-image.fixture';
import type * as Dump from '../igvm/dump';
import { inspectImage } from './inspect-file';

/** A dump of many pieces, which calls `onLast` before it yields the last one. */
const mockDump: { pieces: number; onLast: () => void } = { pieces: 0, onLast: () => undefined };
jest.mock('../igvm/dump', () => ({
  ...jest.requireActual<typeof Dump>('../igvm/dump'),
  *dumpJson() {
    for (let piece = 1; piece <= mockDump.pieces; piece++) {
      if (piece === mockDump.pieces) mockDump.onLast();
      yield 'ä'.repeat(2 ** 15);
    }
  },
}));

describe('an inspection written to a file', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-inspect-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is written piece by piece, and is never in memory as a whole', async () => {
    const image = join(folder, 'image.igvm');
    await writeImage(nativeImage(), image);
    const output = join(folder, 'image.json');
    let onDisk = 0;
    mockDump.pieces = 64;
    mockDump.onLast = () => {
      const unfinished = readdirSync(folder).filter((name) => name.endsWith('.nx-igvm-tmp'));
      onDisk = unfinished.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    };
    await inspectImage({ image, format: 'json', name: 'image', output, write: () => undefined });
    expect(readFileSync(output, 'utf8')).toBe('ä'.repeat(2 ** 21));
    expect(onDisk).toBeGreaterThan(0.9 * 2 ** 22);
  });
});
