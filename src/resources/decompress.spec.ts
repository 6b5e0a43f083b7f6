import { ByteReader, unzstd } from './decompress';

/** A frame of one stored block (RFC 8878, 3.1.1). @param window the header byte that gives the required memory */
function frameOf(text: string, window: number): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((text.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, window), block, Buffer.from(text)]);
}

/** Unpacks data that arrives one byte at a time. */
async function unpacked(data: Buffer): Promise<string> {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const byte of data) yield Buffer.of(byte);
  }
  const parts: Uint8Array[] = [];
  for await (const part of unzstd(new ByteReader(bytes()))) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}

const USUAL = 0x50;
/** 256 MiB. */
const HUGE = 0x90;

it('unpacks consecutive frames, however they are split', async () => {
  expect(await unpacked(Buffer.concat([frameOf('one, ', USUAL), frameOf('two', USUAL)]))).toBe('one, two');
});

it.each([
  ['the first', frameOf('one', HUGE)],
  ['a later one', Buffer.concat([frameOf('one', USUAL), frameOf('two', HUGE)])],
])('refuses a frame that asks for too much memory: %s', async (_, data) => {
  await expect(unpacked(data)).rejects.toThrow('needs 268435456 bytes of memory, and the limit is 134217728');
});
