import { distance as editDistance } from 'fastest-levenshtein';

/**
 * The candidate that `word` is probably a misspelling of. Case and the choice of `-` or `_` count for nothing, and at
 * most a third of the letters may differ, so that an unrelated word gets no suggestion.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.slice(0, 64).toLowerCase().replaceAll('-', '_');
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(plain(word), plain(candidate));
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
