import type { FindingKind } from './execution';

/** How long to fuzz. */
export type Budget = { executions: number } | { seconds: number };

/** Fuzz one target. */
export interface FuzzJob {
  kind: 'fuzz';
  target: string;
  seed: number;
  budget: Budget;
  /** Folder of inputs from earlier runs, read only. */
  corpus: string;
  /** Folder for inputs with new coverage; also read. */
  grown?: string;
  /** Folder for inputs that break a rule. */
  findings: string;
}

/** Reduce a corpus to the inputs worth keeping. */
export interface MinimizeJob {
  kind: 'minimize';
  /** All targets that share the corpus. */
  targets: readonly string[];
  corpus: string;
  grown: string;
}

export type Job = FuzzJob | MinimizeJob;

/** A finding on disk. */
export interface ReportedFinding {
  kind: FindingKind;
  signature: string;
  details: string;
  path: string;
}

export interface FuzzResult {
  target: string;
  executions: number;
  /** Wall time and processor time. */
  seconds: number;
  cpuSeconds: number;
  corpusSize: number;
  covered: number;
  findings: ReportedFinding[];
}

export interface MinimizeResult {
  before: number;
  kept: number;
  bytes: number;
}

/** Messages from a fuzzing thread to its watcher. */
export type Message =
  | { kind: 'progress'; result: FuzzResult }
  | { kind: 'fuzzed'; result: FuzzResult }
  | { kind: 'minimized'; result: MinimizeResult };

/** Memory that both threads share: the number of executions, the size of the last input, whether it is running, and its bytes. */
export const SHARED = { executions: 0, size: 1, running: 2, header: 64, bytes: 2 ** 20 } as const;
