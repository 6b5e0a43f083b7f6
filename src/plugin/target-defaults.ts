import type { NxJsonConfiguration } from 'nx/src/devkit-exports';
import { asRecord, type Json } from './read-json';

/** What `targetDefaults` of nx.json say of a target, the strongest last. */
export interface TargetDefaults {
  /** What applies for certain. */
  readonly certain: Json[];
  /** That, and what may apply: only Nx knows which projects a filter or a rare pattern means. */
  readonly possible: Json[];
}

type Verdict = 'yes' | 'no' | 'maybe';

/** Whether a key is a pattern to Nx (its utils/globs). */
const isPattern = (key: string): boolean => /[*|{}()[]/.test(key);

/** Whether a pattern means a target. Nx's patterns are minimatch's, of which `*`, `?` and plain `{a,b}` are read here. */
function patternMatches(pattern: string, name: string): Verdict {
  if (/[()[\]\\!#]|\{[^{}]*\{|\.\./.test(pattern)) return 'maybe';
  const source = pattern
    .replace(/[.+^$|]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]')
    .replace(/\{([^{}]*,[^{}]*)\}/g, (_, items: string) => `(?:${items.replaceAll(',', '|')})`);
  return /[{}]/.test(source) ? 'maybe' : new RegExp(`^${source}$`).test(name) ? 'yes' : 'no';
}

/** Whether an entry with this filter applies. */
function filterMatches(filter: Json, executor: string): Verdict {
  if (filter['executor'] !== undefined && filter['executor'] !== executor) return 'no';
  return filter['projects'] === undefined && filter['plugin'] === undefined ? 'yes' : 'maybe';
}

/** The keys that mean a target, the first that has a matching entry is the one that counts: executor, name, patterns by length. */
function matchingKeys(defaults: Json, executor: string, name: string): [key: string, verdict: Verdict][] {
  const exact = [...new Set([executor, name])].filter((key) => defaults[key] !== undefined);
  const patterns = Object.keys(defaults)
    .filter((key) => key !== executor && key !== name && isPattern(key))
    .sort((a, b) => b.length - a.length)
    .map((key): [string, Verdict] => [key, patternMatches(key, name)]);
  return [
    ...exact.map((key): [string, Verdict] => [key, 'yes']),
    ...patterns.filter(([, verdict]) => verdict !== 'no'),
  ];
}

/**
 * Reads `targetDefaults` as Nx 24 does (project-graph/utils/project-configuration/target-defaults): a value is an object, or
 * a list of entries of which all that match are merged.
 * @param name of the target
 */
export function targetDefaults(
  { targetDefaults: raw }: NxJsonConfiguration,
  executor: string,
  name: string,
): TargetDefaults {
  const defaults = asRecord(raw);
  const certain: Json[] = [];
  const possible: Json[] = [];
  for (const [key, keyVerdict] of matchingKeys(defaults, executor, name)) {
    const value = defaults[key];
    const entries = (Array.isArray(value) ? value : [value]).map(asRecord).flatMap((entry) => {
      const verdict = filterMatches(asRecord(entry['filter']), executor);
      return verdict === 'no' ? [] : [{ entry, isCertain: verdict === 'yes' && keyVerdict === 'yes' }];
    });
    // Nx drops an entry that is of another executor, but the key counts.
    const fitting = entries.filter(({ entry }) => entry['executor'] === undefined || entry['executor'] === executor);
    // A weaker key's: it counts where none of the stronger ones does.
    possible.unshift(...fitting.map(({ entry }) => entry));
    certain.push(...fitting.filter(({ isCertain }) => isCertain).map(({ entry }) => entry));
    if (entries.some(({ isCertain }) => isCertain)) break;
  }
  return { certain, possible };
}
