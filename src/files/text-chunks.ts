/** Characters that are written at once: single lines would be a system call each. */
const CHUNK = 2 ** 16;

/** Joins small pieces of text to chunks that are worth a system call. */
export function* textChunks(pieces: Iterable<string>): Generator<string> {
  let chunk = '';
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length < CHUNK) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}
