import type { CliEnvironment } from './cli';

/** Characters that are written at once: single lines would be a system call each. */
const CHUNK = 2 ** 16;

/** Writes text that comes in small pieces to stdout. */
export function writePieces(environment: CliEnvironment, pieces: Iterable<string>): void {
  let chunk = '';
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length < CHUNK) continue;
    environment.stdout(chunk);
    chunk = '';
  }
  if (chunk !== '') environment.stdout(chunk);
}
