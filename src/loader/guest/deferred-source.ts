import { unreachable } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';

/**
 * Bytes that are worked out when they are first awaited, after all pages before them have streamed by.
 * @param size in bytes
 * @param parts gives the bytes' beginning; zeros follow up to `size`
 */
export function deferredSource(size: number, parts: () => Uint8Array[] | Promise<Uint8Array[]>): ByteSource {
  let bytes: Uint8Array | undefined;
  return {
    size,
    async ready() {
      if (bytes !== undefined) return;
      const filled = new Uint8Array(size);
      let at = 0;
      for (const part of await parts()) {
        filled.set(part, at);
        at += part.length;
      }
      bytes = filled;
    },
    read(offset, target) {
      if (bytes === undefined) unreachable('deferred bytes were read before they were ready');
      target.set(bytes.subarray(offset, offset + target.length));
    },
  };
}
