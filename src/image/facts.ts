/** What a file says, by what it is about. */
export type Facts = ReadonlyMap<string, string>;

/** Something that the files say differently; undefined where a file says nothing. */
export interface FactDifference {
  what: string;
  a?: string;
  b?: string;
}

/** Gathers facts in the order in which they are said. What is said again gets a number, so that none is lost. */
export class FactList {
  private readonly map = new Map<string, string>();
  /** How often each has been said so far: a file may say the same a million times. */
  private readonly counts = new Map<string, number>();

  get facts(): Facts {
    return this.map;
  }

  add(what: string, value: string): void {
    let count = (this.counts.get(what) ?? 0) + 1;
    const numbered = (): string => (count === 1 ? what : `${what} (${count})`);
    while (this.map.has(numbered())) count++;
    this.counts.set(what, count);
    this.map.set(numbered(), value);
  }
}

/** What two lists of facts say differently, in the order of the first. */
export const compareFacts = (a: Facts, b: Facts): FactDifference[] =>
  [...new Set([...a.keys(), ...b.keys()])]
    .filter((what) => a.get(what) !== b.get(what))
    .map((what) => ({ what, a: a.get(what), b: b.get(what) }));
