import type { CorpusFile } from './corpus';

/** An input with its coverage in all targets that share the corpus. */
export interface MeasuredFile extends CorpusFile {
  features: ReadonlySet<number>;
}

/**
 * The inputs of a corpus that are worth keeping: each adds something to `reached`, the features of inputs that run anyway.
 * Greedy, by the number of features that an input adds for its size.
 */
export function worthKeeping(files: readonly MeasuredFile[], reached: ReadonlySet<number>): MeasuredFile[] {
  const covered = new Set(reached);
  const kept: MeasuredFile[] = [];
  let left = [...files];
  for (;;) {
    let best: MeasuredFile | undefined;
    let bestWorth = 0;
    const useful: MeasuredFile[] = [];
    for (const file of left) {
      let added = 0;
      for (const feature of file.features) if (!covered.has(feature)) added++;
      if (added === 0) continue;
      useful.push(file);
      const worth = added / Math.sqrt(file.bytes.length + 64);
      if (worth > bestWorth) {
        best = file;
        bestWorth = worth;
      }
    }
    if (best === undefined) return kept;
    kept.push(best);
    for (const feature of best.features) covered.add(feature);
    left = useful.filter((file) => file !== best);
  }
}
